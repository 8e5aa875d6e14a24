"""`threatlog up`: everything from one command, on its own ports, watched, and stopped within ten seconds."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import http_status, wait_until
from threatlog.embedded.child import ChildProcess, Launch
from threatlog.embedded.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STARTED_S = 120.0
STOP_LIMIT_S = 10.0


class Run:
    """One `threatlog up` as a child process."""

    def __init__(self, data_dir: Path, command: str = "up", *options: str) -> None:
        self.data_dir = data_dir
        rng = random.Random()
        self.gateway = free_port(rng)
        self.query = free_port(rng, avoid={self.gateway})
        ports = ("--gateway-port", str(self.gateway), "--query-port", str(self.query))
        arguments = (sys.executable, "-m", "threatlog", command, *ports, "--data-dir", str(data_dir), *options)
        self.child = ChildProcess(Launch(arguments, data_dir.with_name(f"{data_dir.name}.out")))

    @property
    def output(self) -> str:
        return self.child.log_tail(200)

    def wait_said(self, pattern: str, timeout_s: float = STARTED_S) -> str:
        def said() -> str | None:
            found = re.search(pattern, self.output, re.MULTILINE)
            assert found or self.child.running, f"it ended with {self.child.exit_code}:\n{self.output}"
            return found and found[0]

        return wait_until(said, timeout_s, f"it says {pattern!r}") or ""

    def curl_lines(self) -> list[str]:
        self.wait_said("^Ctrl-C stops everything")
        return re.findall(r"^curl .*$", self.output, re.MULTILINE)

    def part(self, pattern: str) -> psutil.Process:
        children = psutil.Process(self.child.pid).children()
        return next(child for child in children if re.search(pattern, " ".join(child.cmdline())))


MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[MakeRun]:
    """`make_run("up", *options)`; every run of one test has the same data folder, by default one of its own."""
    runs: list[Run] = []

    def make(command: str = "up", *options: str, data_dir: Path = server_folder / request.node.name) -> Run:
        runs.append(Run(data_dir, command, *options))
        return runs[-1]

    yield make
    for run in runs:
        run.child.stop(15.0)


@pytest.fixture(scope="module")
def run(server_folder: Path) -> Iterator[Run]:
    """One run for the tests that leave it as it was; the last of them ends it."""
    started = Run(server_folder / "up")
    started.curl_lines()
    yield started
    started.child.stop(15.0)


def shell(line: str) -> Any:
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=True)
    return json.loads(result.stdout)


def test_the_three_lines_that_it_prints_work(run: Run) -> None:
    ingest, query, lag = run.curl_lines()
    accepted = shell(ingest)
    assert accepted["status"] == "ingested"

    def found() -> bool:
        return accepted["id"] in {event["id"] for event in shell(query)["logs"]}

    wait_until(found, 30, "the query line finds what the first line sent")
    assert len(shell(lag)["partitions"]) == 12


def test_its_ports_are_written_and_answer(run: Run) -> None:
    ports = json.loads((run.data_dir / "ports.json").read_text())
    assert (ports["gateway"], ports["query"]) == (run.gateway, run.query)
    for port in (ports["gateway"], ports["query"], *ports["stream"]):
        assert http_status(f"http://127.0.0.1:{port}/readyz") == 200


def test_a_second_run_on_the_same_data_says_who_holds_it(run: Run) -> None:
    second = Run(run.data_dir)
    assert second.child.wait(60) == 1
    assert "is in use by another `threatlog up`" in second.output


def test_a_taken_port_is_said_in_one_line_with_what_to_set(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "threatlog", "up", "--data-dir", str(tmp_path / "data")]
    ports = ["--gateway-port", str(run.gateway), "--query-port", "1"]
    result = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    expected = f"threatlog: port {run.gateway} is taken by another program; set GATEWAY_PORT to a free one"
    assert result.stderr.splitlines() == [expected]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("gateway", "threatlog gateway"),
        ("query", "threatlog query"),
        ("stream", "threatlog stream"),
        ("redis", "redis-server"),
        ("postgres", "bin/postgres"),
        ("kafka", "kafka.Kafka"),
    ],
)
def test_a_part_that_dies_is_started_again_and_that_is_said(run: Run, name: str, pattern: str) -> None:
    run.part(pattern).kill()
    run.wait_said(rf"{name} ended \(signal 9\); starting it again in .* s")
    run.wait_said(rf"{name} is ready again")


def parts_of(run: Run) -> list[psutil.Process]:
    return psutil.Process(run.child.pid).children(recursive=True)


def alive(parts: list[psutil.Process]) -> list[psutil.Process]:
    return [part for part in parts if _lives(part)]


def _lives(part: psutil.Process) -> bool:
    try:
        return part.is_running() and part.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def assert_stops(run: Run, number: signal.Signals) -> None:
    """Within ten seconds, with all of its parts."""
    parts, begin = parts_of(run), time.monotonic()
    run.child.send(number)
    assert run.child.wait(STOP_LIMIT_S) == 0, run.output
    assert time.monotonic() - begin < STOP_LIMIT_S
    assert not alive(parts)


def test_a_stop_while_it_starts_ends_it_cleanly(make_run: MakeRun) -> None:
    run = make_run()
    run.wait_said("starting Kafka")
    run.child.send(signal.SIGTERM)
    assert run.child.wait(STOP_LIMIT_S) == 0, run.output


def assert_found(url: str) -> None:
    wait_until(lambda: http_status(url) == 200, 60, f"{url} is found")


def test_the_data_outlives_ctrl_c_a_killed_supervisor_and_a_closed_terminal(run: Run, make_run: MakeRun) -> None:
    first = shell(run.curl_lines()[0])
    assert_stops(run, signal.SIGINT)

    demo = make_run("demo", "--rps", "50", data_dir=run.data_dir)
    ingest, query, _ = demo.curl_lines()
    demo.wait_said("sending 50 sample events per second")
    before = shell(query)["total"]
    wait_until(lambda: shell(query)["total"] >= before + 20, 60, "sample events arrive")
    second, parts = shell(ingest), parts_of(demo)
    demo.child.send(signal.SIGKILL)
    assert demo.child.wait(STOP_LIMIT_S) == -signal.SIGKILL
    wait_until(lambda: not alive(parts), 30, "the parts end with the one that started them")

    again = make_run(data_dir=run.data_dir)
    again.curl_lines()
    for accepted in (first, second):
        assert_found(f"http://127.0.0.1:{again.query}/api/v1/logs/{accepted['id']}")
    assert_stops(again, signal.SIGHUP)
