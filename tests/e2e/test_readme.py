"""A stranger who types what the README shows gets what the README shows."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import MakeStack
from tests.processes import Spawner, wait_until
from tests.readme_examples import Example, differences, examples
from threatlog.embedded.ports import LOOPBACK, free_port

pytestmark = [
    pytest.mark.e2e,
    # Where the whole suite has to pass, a missing curl is a failure.
    pytest.mark.skipif(shutil.which("curl") is None and not os.environ.get("CI"), reason="the examples use curl"),
]
READY_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where the examples' ports are in this run."""

    ports: dict[str, int]

    def run(self, example: Example) -> tuple[int, Any]:
        """Types the command and returns the status and the decoded answer."""
        command = example.command
        for shown, actual in self.ports.items():
            command = command.replace(f"http://127.0.0.1:{shown}/", f"http://{LOOPBACK}:{actual}/")
        command = command.rstrip() + " -w '\\n%{http_code}'"
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
        assert ran.returncode == 0, f"{command}\nended with {ran.returncode}: {ran.stderr}"
        body, _, status = ran.stdout.rpartition("\n")
        return int(status), json.loads(body)


@pytest.fixture
def running(make_stack: MakeStack, spawn: Spawner) -> RunningStack:
    """All three services on the topic of the defaults."""
    stack = make_stack(variables={"THREATLOG_KAFKA_PARTITIONS": "2"})
    rng, ports = random.Random(), list[int]()
    while len(ports) < 3:
        ports.append(free_port(rng, avoid=ports))
    gateway, query, stream = ports
    environment = stack.with_environment(
        THREATLOG_SERVER_PORT=str(gateway),
        THREATLOG_QUERY_PORT=str(query),
        THREATLOG_STREAM_METRICS_PORT=str(stream),
    )
    started = [
        (spawn(part, ["-m", "threatlog", part], environment), port)
        for part, port in (("gateway", gateway), ("stream", stream), ("query", query))
    ]
    for process, port in started:
        process.wait_http(f"http://{LOOPBACK}:{port}/readyz", READY_TIMEOUT_S)
    return RunningStack({"8080": gateway, "8081": query})


def test_every_example_is_answered_as_it_is_shown(running: RunningStack) -> None:
    for example in examples():
        seen: list[str] = []

        def as_shown(example: Example = example, seen: list[str] = seen) -> bool:
            status, answer = running.run(example)
            wrong = [f"status is {status}, shown is {example.status}"] if status != example.status else []
            seen[:] = wrong or [*differences(example.answer, answer), json.dumps(answer)[:2000]]
            return status == example.status and len(seen) == 1

        # What was sent a moment ago is stored a moment later; sending it twice adds nothing.
        try:
            wait_until(as_shown, ANSWER_TIMEOUT_S, example.command)
        except AssertionError:
            pytest.fail(f"{example.command}\n" + "\n".join(seen))
