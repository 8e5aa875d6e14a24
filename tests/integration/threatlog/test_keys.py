"""API keys on real processes: who starts, who is let in, and how soon a key has ended everywhere."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import EVENTUALLY_S, Spawned, Spawner, http_status, wait_until
from tests.servers import Stack
from threatlog.embedded.ports import LOOPBACK, free_port
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_TRY_LATER

pytestmark = pytest.mark.integration

PORT_VARIABLES = {
    "gateway": "THREATLOG_SERVER_PORT",
    "query": "THREATLOG_QUERY_PORT",
    "stream": "THREATLOG_STREAM_METRICS_PORT",
}
HOST_VARIABLES = {
    "gateway": "THREATLOG_SERVER_HOST",
    "query": "THREATLOG_QUERY_HOST",
    "stream": "THREATLOG_STREAM_METRICS_HOST",
}
REVOKED_WITHIN_S = 5.0
EVENT = {"severity": "HIGH", "source": "web-01", "message": "m"}


def threatlog(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `threatlog` with these arguments prints."""
    command = [sys.executable, "-m", "threatlog", *arguments]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)


def made(stack: Stack, *scopes: str) -> str:
    """A new key, as a shell would take it."""
    options = [word for scope in scopes for word in ("--scope", scope)]
    ran = threatlog(stack.environment, "keys", "create", "tests", *options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def listed(stack: Stack) -> dict[str, dict[str, Any]]:
    """Every key by its id."""
    ran = threatlog(stack.environment, "keys", "list", "--json")
    return {row["id"]: row for row in map(json.loads, ran.stdout.splitlines())}


def start(spawn: Spawner, stack: Stack, service: str, **variables: str) -> tuple[Spawned, str]:
    """A process that needs keys, and its address."""
    port = free_port(random.Random())
    own = {"THREATLOG_ACCESS_REQUIRED": "always", PORT_VARIABLES[service]: str(port), **variables}
    return spawn(service, ["-m", "threatlog", service], stack.with_environment(**own)), f"http://{LOOPBACK}:{port}"


def ask(url: str, key: str = "", body: object = None) -> tuple[int, str]:
    """The status of a request with a key, and the code of its problem."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["code"]


def test_a_key_is_shown_once_and_listed_without_its_secret(stack: Stack) -> None:
    ran = threatlog(
        stack.environment, "keys", "create", "shipper", "--scope", "ingest", "--source", "web-01", "--expires", "90d"
    )
    key = ran.stdout.strip()
    key_id = key.split("_")[1]
    assert key not in ran.stderr
    row = listed(stack)[key_id]
    assert (row["name"], row["scopes"], row["sources"], row["state"]) == ("shipper", ["ingest"], ["web-01"], "active")
    for shown in (["keys", "list"], ["keys", "list", "--json"], ["audit"], ["audit", "--json"]):
        ran = threatlog(stack.environment, *shown)
        assert ran.returncode == 0
        assert key_id in ran.stdout
        assert key.split("_")[2] not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "x"], "--scope"),
        (["create", "x", "--scope", "all"], "ingest"),
        (["create", "x", "--scope", "query", "--expires", "soon"], "no duration such as 90d"),
        (["create", " ", "--scope", "query"], "1 to 100 printable characters"),
        (["revoke", "nobody"], "there is no key nobody"),
        (["rotate", "nobody"], "there is no key nobody"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(stack: Stack, arguments: list[str], said: str) -> None:
    ran = threatlog(stack.environment, "keys", *arguments)
    assert ran.returncode in {1, 2}
    assert said in ran.stderr
    assert ran.stdout == ""


def test_a_command_without_postgresql_ends_with_75_and_one_line(stack: Stack) -> None:
    environment = stack.with_environment(THREATLOG_POSTGRES_PORT=str(free_port(random.Random())))
    ran = threatlog(environment, "keys", "list")
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (EXIT_TRY_LATER, "", 1)


@pytest.mark.parametrize("service", PORT_VARIABLES)
def test_what_others_can_reach_does_not_start_without_keys(stack: Stack, spawn: Spawner, service: str) -> None:
    open_host = {HOST_VARIABLES[service]: "0.0.0.0", "THREATLOG_ACCESS_REQUIRED": "auto"}
    process, _ = start(spawn, stack, service, **open_host)
    assert process.wait_exit(30) == EXIT_CONFIGURATION
    line = json.loads(process.log_text().splitlines()[-1])
    assert "others can reach 0.0.0.0 and there is no API key" in line["msg"]
    assert "threatlog keys create" in line["msg"]
    made(stack, "metrics")
    _, url = start(spawn, stack, service, **open_host)
    wait_until(lambda: http_status(f"{url}/livez") == 200, EVENTUALLY_S, f"{service} with a key to let in starts")
    assert http_status(f"{url}/metrics") == 401


def test_a_process_that_starts_before_postgresql_lets_keys_in_once_they_are_known(stack: Stack, spawn: Spawner) -> None:
    key = made(stack, "ingest")
    stack.servers.postgres.stop()
    _, url = start(spawn, stack, "gateway")
    wait_until(lambda: http_status(f"{url}/livez") == 200, EVENTUALLY_S, "the gateway is alive")
    assert http_status(f"{url}/readyz") == 503
    assert ask(f"{url}/api/v1/logs/ingest", key, EVENT) == (503, "keys_unknown")
    stack.servers.start()
    wait_until(lambda: http_status(f"{url}/readyz") == 200, EVENTUALLY_S, "the gateway is ready")
    assert ask(f"{url}/api/v1/logs/ingest", key, EVENT)[0] == 201


def test_rotation_fails_nobody_and_a_revoked_key_ends_everywhere_within_seconds_without_redis(
    stack: Stack, spawn: Spawner
) -> None:
    old = made(stack, "ingest", "query", "metrics")
    addresses = {service: start(spawn, stack, service)[1] for service in PORT_VARIABLES}
    for service, url in addresses.items():
        wait_until(lambda url=url: http_status(f"{url}/readyz") == 200, 60, f"{service} is ready")  # type: ignore[misc]
    asked = {
        "gateway": f"{addresses['gateway']}/api/v1/limits",
        "query": f"{addresses['query']}/api/v1/logs/recent",
        "stream": f"{addresses['stream']}/metrics",
    }
    stack.servers.redis.kill()
    ran = threatlog(stack.environment, "keys", "rotate", old.split("_")[1], "--overlap", "1h")
    new = ran.stdout.strip()
    for url in asked.values():
        wait_until(lambda url=url: ask(url, new)[0] == 200, REVOKED_WITHIN_S, f"{url} knows the new key")  # type: ignore[misc]
        assert ask(url, old)[0] == 200
    threatlog(stack.environment, "keys", "revoke", old.split("_")[1])
    revoked_at, waiting = time.monotonic(), set(asked)
    while waiting:
        assert time.monotonic() - revoked_at < REVOKED_WITHIN_S, f"{waiting} still let the revoked key in"
        assert all(ask(url, new)[0] == 200 for url in asked.values())
        # 429 where asking for the new key, before it was known, has failed ten times already.
        waiting = {service for service in waiting if ask(asked[service], old)[0] not in {401, 429}}
    actions = [json.loads(line) for line in threatlog(stack.environment, "audit", "--json").stdout.splitlines()]
    assert [entry["action"] for entry in actions if entry["action"].startswith("key.")] == [
        "key.created", "key.rotated", "key.revoked"
    ]  # fmt: skip


def said(url: str, key: str, body: bytes | None) -> str:
    """All that a request is answered: headers and body."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
            return f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.headers}{error.read().decode()}"


@pytest.mark.parametrize(
    ("service", "path"), [("gateway", "/api/v1/logs/ingest"), ("query", "/api/v1/logs/query"), ("stream", "/nothing")]
)
def test_nothing_secret_is_in_a_log_a_metric_an_error_or_a_process_title(
    stack: Stack, spawn: Spawner, tmp_path: Path, service: str, path: str
) -> None:
    password = "canary-Pa55word"
    secret_file = tmp_path / "password"
    secret_file.write_text(password, encoding="utf-8")
    key = made(stack, "ingest", "query", "metrics")
    process, url = start(spawn, stack, service, THREATLOG_POSTGRES_PASSWORD_FILE=str(secret_file))
    process.wait_http(f"{url}/livez")
    wait_until(lambda: ask(f"{url}/metrics", key)[0] == 200, EVENTUALLY_S, f"{service} knows the key")
    secret = key.split("_")[2]
    seen = [
        said(f"{url}{path}", sent, body)
        for sent in (key, f"{key}x", f"tlk_{secret}")
        for body in (None, b'{"severity": 1}')
    ]
    seen += [said(f"{url}/metrics", key, None), process.log_text()]
    seen.append(" ".join(psutil.Process(process.child.pid).cmdline()))
    ran = threatlog(stack.with_environment(THREATLOG_POSTGRES_PASSWORD=password), "settings")
    seen += [ran.stdout, ran.stderr]
    assert ran.returncode == 0
    assert not [text for text in seen if password in text or secret in text]


def test_loadgen_sends_with_a_key_and_is_told_without(stack: Stack, spawn: Spawner) -> None:
    key = made(stack, "ingest")
    process, url = start(spawn, stack, "gateway")
    process.wait_http(f"{url}/readyz")
    command = [sys.executable, "-m", "loadgen", "seed", "--count", "10", "--send", "http", "--gateway-url", url]
    for environment, code, words in (
        (stack.with_environment(LOADGEN_API_KEY=key), 0, "10 of 10 events acknowledged"),
        (stack.environment, 1, "10 not: 401 missing_key"),
    ):
        ran = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)
        assert (ran.returncode, words in ran.stderr) == (code, True), ran.stderr
        assert key not in ran.stdout + ran.stderr
