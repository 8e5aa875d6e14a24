"""Every client of every server over TLS with a user and a certificate; what must be refused is, and says why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.fleet import Fleet
from tests.guarded.servers import Guarded, guarded_servers
from tests.processes import Spawner, http_json, wait_until
from tests.servers import Servers, Stack, StackMaker
from threatlog.process.load_settings import load_settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
_VISIBLE_WITHIN_S: Final = 30.0
_COMMAND_WITHIN_S: Final = 60.0


@pytest.fixture(scope="module")
def guarded(servers: Servers, server_folder: Path) -> Iterator[Guarded]:
    """The servers that demand it all."""
    with guarded_servers(server_folder / "guarded", servers.redis) as made:
        yield made


@pytest.fixture(scope="module")
def stack(guarded: Guarded) -> Iterator[Stack]:
    """A topic and a database on them, with the settings of a client that is let in."""
    maker = StackMaker(guarded.servers, "guarded")
    made = maker.make(2, {})
    environment = {**made.environment, **guarded.variables()}
    yield replace(
        made, environment=environment, settings=load_settings({**environment, "THREATLOG_CONFIG": os.devnull})
    )
    maker.remove(made)


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


def test_the_whole_path_and_every_command(stack: Stack, guarded: Guarded, spawn: Spawner) -> None:
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
