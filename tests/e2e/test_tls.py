"""The processes and commands over TLS with a user and a certificate, and what they say where that goes wrong."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.fleet import Fleet
from tests.guarded.servers import Guarded
from tests.processes import Spawner, http_json, http_status, wait_until
from tests.servers import Stack
from threatlog.embedded.ports import free_port
from threatlog.process.exit_codes import EXIT_CONFIGURATION

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
_VISIBLE_WITHIN_S: Final = 30.0
_COMMAND_WITHIN_S: Final = 60.0


def _command(stack: Stack, module: str, *arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_WITHIN_S,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def _loadgen_options(stack: Stack) -> list[str]:
    kafka = stack.settings.kafka
    return [
        f"--kafka-bootstrap={kafka.bootstrap_servers}",
        f"--topic={kafka.topic}",
        f"--kafka-security={kafka.security_protocol}",
        f"--kafka-username={kafka.username}",
        f"--kafka-password={kafka.password.get_secret_value()}",
        f"--kafka-ca={kafka.tls_ca}",
        f"--kafka-certificate={kafka.tls_certificate}",
        f"--kafka-key={kafka.tls_key}",
    ]


def test_the_whole_path_and_every_command(guarded_stack: Stack, guarded: Guarded, spawn: Spawner) -> None:
    stack = guarded_stack
    assert _command(stack, "threatlog", "migrate") == (0, "the tables are up to date\n")
    code, said = _command(stack, "threatlog", "topics")
    assert code == 0, said
    fleet = Fleet(stack, spawn, workers=1, queries=1)
    fleet.wait_ready()
    event = {
        "timestamp": datetime.now(UTC).isoformat(),
        "severity": "HIGH",
        "source": "fw-1",
        "message": "over TLS all the way",
    }
    status, answer = http_json(f"{fleet.gateway_url}/api/v1/logs/ingest", event)
    assert status == 201
    recent = f"{fleet.query_url}/api/v1/logs/recent?limit=100"

    def found(count: int) -> Any:
        _, body = http_json(recent, method="GET")
        return body if len(body.get("logs", ())) == count else None

    body = wait_until(lambda: found(1), _VISIBLE_WITHIN_S, "the event is visible")
    assert body["logs"][0]["id"] == answer["id"]
    code, said = _command(stack, "loadgen", "seed", "--count=5", "--send=kafka", *_loadgen_options(stack))
    assert code == 0, said
    wait_until(lambda: found(6), _VISIBLE_WITHIN_S, "what loadgen sent is visible")
    code, said = _command(stack, "threatlog", "lag")
    assert code == 0, said
    assert http_json(f"{fleet.query_url}/health", method="GET")[1]["redis"] == "connected"
    assert guarded.postgres.plain_attempts == 0
    assert not re.search(r"pass-7[12]", "".join(part.process.log_text() for part in fleet.parts))
    fleet.assert_alive()


def test_a_server_of_an_unknown_authority_is_named_once_in_ten_seconds(
    guarded_stack: Stack, guarded: Guarded, spawn: Spawner
) -> None:
    unknown = str(guarded.certificates.unknown_ca)
    trusting = {f"THREATLOG_{server}_TLS_CA": unknown for server in ("KAFKA", "POSTGRES", "REDIS")}
    fleet = Fleet(
        replace(guarded_stack, environment=guarded_stack.with_environment(**trusting)), spawn, workers=1, queries=1
    )

    def complain() -> bool:
        return all("CERTIFICATE_VERIFY_FAILED" in part.process.log_text() for part in fleet.parts)

    wait_until(complain, 20.0, "each process names the cause")
    # Several attempts of each later; within ten seconds of the first.
    time.sleep(3.0)
    assert http_status(fleet.gateway.ready_url) == 503
    assert http_status(fleet.queries[0].ready_url) == 503
    for part in fleet.parts:
        lines = [json.loads(line) for line in part.process.log_text().splitlines()]
        told = Counter(
            (line["logger"], line["msg"], line.get("asked")) for line in lines if line["level"] in ("WARNING", "ERROR")
        )
        assert told
        assert set(told.values()) == {1}, told
    fleet.assert_alive()


@pytest.mark.parametrize(
    ("part", "variables", "warnings"),
    [
        (
            "gateway",
            {"THREATLOG_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "THREATLOG_KAFKA_SASL_MECHANISM": "PLAIN"},
            ["the password for Kafka at kafka.invalid goes in clear; set kafka.security_protocol to SASL_SSL"],
        ),
        (
            "query",
            {},
            [
                "the password for PostgreSQL at postgres.invalid goes in clear where the server asks for it so; "
                "set postgres.tls to verify-full",
                "the password for Redis at redis.invalid goes in clear; set redis.tls to true",
            ],
        ),
    ],
)
def test_a_password_in_clear_to_another_machine_is_warned_of_at_the_start(
    guarded_stack: Stack, spawn: Spawner, part: str, variables: dict[str, str], warnings: list[str]
) -> None:
    plain = {
        "THREATLOG_KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092",
        "THREATLOG_POSTGRES_HOST": "postgres.invalid",
        "THREATLOG_POSTGRES_TLS": "disable",
        "THREATLOG_REDIS_HOST": "redis.invalid",
        "THREATLOG_REDIS_TLS": "false",
        **{name: "" for name in guarded_stack.environment if "_TLS_" in name},
        "THREATLOG_SERVER_PORT": str(free_port(random.Random())),
        "THREATLOG_QUERY_PORT": str(free_port(random.Random())),
        **variables,
    }
    if part == "query":
        plain |= {f"THREATLOG_KAFKA_{name}": "" for name in ("USERNAME", "PASSWORD")}
        plain["THREATLOG_KAFKA_SECURITY_PROTOCOL"] = "PLAINTEXT"
    started = spawn(part, ("-m", "threatlog", part), guarded_stack.with_environment(**plain))
    wait_until(lambda: "listening" in started.log_text(), 30.0, "it listens")
    said = [json.loads(line) for line in started.log_text().splitlines()]
    assert [line["msg"] for line in said if line["msg"].startswith("the password")] == warnings


@pytest.mark.parametrize("part", ["gateway", "stream", "query", "migrate", "topics", "lag"])
def test_a_missing_file_ends_the_start_with_its_name(guarded_stack: Stack, tmp_path: Path, part: str) -> None:
    missing = str(tmp_path / "absent.pem")
    stack = replace(guarded_stack, environment=guarded_stack.with_environment(THREATLOG_KAFKA_TLS_CA=missing))
    code, said = _command(stack, "threatlog", part)
    assert code == EXIT_CONFIGURATION
    setting = "kafka.tls_ca (or THREATLOG_KAFKA_TLS_CA)"
    assert said == f"threatlog: {setting} is {missing!r}; it cannot be read: No such file or directory\n"
