"""The Makefile runs what the README promises, and CI runs what a developer runs."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.source_tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = frozenset(
    re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0].split()
)
# Not for people: it is out of date when PYTHON is another one than last time.
OTHER_PYTHON = "other-python"


def made(*arguments: str) -> str:
    """What `make` prints, in an environment without any of its variables."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    result = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return re.sub(r"\s*\\\n\s*", " ", result.stdout)


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    listed = re.findall(r"^  (\w+) +\S", made(), re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS - {OTHER_PYTHON})


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        # Without a port on the command line those of the settings count, 8080 and 8081 unless set.
        (["up"], "exec .venv/bin/python -m threatlog up --data-dir '.threatlog' "),
        (
            ["up", "GATEWAY_PORT=18080", "QUERY_PORT=18081", "DATA_DIR=/somewhere"],
            "exec .venv/bin/python -m threatlog up --data-dir '/somewhere' --gateway-port '18080' --query-port '18081'",
        ),
        (["demo", "RPS=7"], "exec .venv/bin/python -m threatlog demo --rps '7' --data-dir '.threatlog' "),
        (["test"], "exec .venv/bin/python -m pytest -n '3' --dist loadfile --stack='embedded'"),
        (["test", "STACK=containers", "JOBS=1", "ARGS=-k one"], "-n '1' --dist loadfile --stack='containers' -k one"),
        (["check"], "run .venv/bin/mypy"),
        (["bench", "ARGS=--help"], "exec .venv/bin/python -m benchmarks --help"),
    ],
)
def test_a_target_runs_the_command_it_stands_for(arguments: list[str], command: str) -> None:
    assert command in made("--dry-run", *arguments)


def test_the_variables_that_the_readme_sets_are_the_makefile_s() -> None:
    named = set(re.findall(r"\b([A-Z_]+)=\S", " ".join(re.findall(r"`make [^`]*`|^make .*$", README, re.MULTILINE))))
    assert named
    assert named <= set(re.findall(r"^([A-Z_]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_ci_runs_the_check_and_the_tests() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"^make (?:--silent )?(\w+)", script, re.MULTILINE) == ["check", "audit", "sbom", "test"]
    # Of all tests together the services are covered to the floor; a selection of them is not held to it.
    assert re.search(r"^make test .*ARGS=\"\$\{ARGS:---cov ", script, re.MULTILINE)
