"""Rules of a whole run, as a process of its own: what it reports, what it looks for, and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.integration.loadgen.stub_services import Event, StubServices, problem, serving
from tests.processes import eventually

SHORT = ("--rps", "1000", "--duration", "200ms", "--concurrency", "20")
DEADLINE_S = 60.0


@pytest.fixture
async def stub() -> AsyncIterator[StubServices]:
    async with serving(StubServices()) as running:
        yield running


@dataclass
class Ended:
    code: int
    told: str
    result: dict[str, Any] = field(default_factory=dict)


async def _start(stub: StubServices, *arguments: str, json_to: str) -> asyncio.subprocess.Process:
    urls = ("--gateway-url", stub.url, "--query-url", stub.url)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadgen", "run", *urls, "--json", json_to, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _end(process: asyncio.subprocess.Process, path: Path) -> Ended:
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return Ended(process.returncode or 0, output.decode(), _result(path))


def _result(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return result


async def _run(stub: StubServices, folder: Path, *arguments: str) -> Ended:
    path = folder / "result.json"
    return await _end(await _start(stub, *arguments, json_to=str(path)), path)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), id="single events"),
        pytest.param(("--batch", "50"), id="batches"),
        pytest.param(("--batch", "50", "--gzip"), id="gzip"),
        pytest.param(("--batch", "50", "--shape", "ndjson", "--zstd"), id="NDJSON with zstd"),
        pytest.param(("--batch", "50", "--exact-up-to", "10"), id="by cells"),
        pytest.param(("--batch", "50", "--sources", "shared"), id="shared sources"),
    ],
)
async def test_everything_sent_is_acknowledged_and_found(
    stub: StubServices, tmp_path: Path, how: tuple[str, ...]
) -> None:
    ended = await _run(stub, tmp_path, *SHORT, *how)
    assert ended.code == 0, ended.told
    sent = ended.result["sent_events"]
    assert ended.result["acked_events"] == ended.result["verification"]["stored"] == len(stub.stored) == sent > 0
    assert ended.result["latency_ms"]["samples"] == ended.result["requests"]
    assert ended.result["freshness_ms"]["samples"] > 0
    assert re.search(rf"(All|For) {sent} acknowledged events (as many )?are there", ended.told)


async def test_a_lost_event_ends_it_with_1_and_its_id(stub: StubServices, tmp_path: Path) -> None:
    lost: list[Event] = []

    def keep(event: Event) -> int:
        if len(stub.stored) == 100 and not lost:
            lost.append(event)
            return 0
        return 1

    stub.keep = keep
    ended = await _run(stub, tmp_path, *SHORT, "--no-freshness")
    assert ended.code == 1, ended.told
    assert f"1 events were acknowledged and cannot be found: {lost[0]['id']}" in ended.told


async def test_a_doubled_event_ends_it_with_1(stub: StubServices, tmp_path: Path) -> None:
    stub.keep = lambda _event: 2 if len(stub.stored) == 100 else 1
    ended = await _run(stub, tmp_path, *SHORT)
    assert ended.code == 1
    assert "1 events appear more than once" in ended.told


async def test_a_retry_sends_the_same_bytes_and_nothing_is_doubled(stub: StubServices, tmp_path: Path) -> None:
    stub.fault = lambda number: problem(503, "kafka_unavailable", {"Retry-After": "1"}) if number % 5 == 0 else None
    ended = await _run(stub, tmp_path, *SHORT, "--batch", "20")
    assert ended.code == 0, ended.told
    assert ended.result["retries"] > 0
    assert ended.result["attempts_by_code"]["503 kafka_unavailable"] == ended.result["retries"]
    assert len(set(stub.bodies)) == ended.result["requests"]
    assert ended.result["latency_ms"]["max"] > 1000


async def test_rejected_items_are_counted_by_code_and_must_not_be_stored(stub: StubServices, tmp_path: Path) -> None:
    stub.refuse = lambda event: event["severity"] != "INFO"
    ended = await _run(stub, tmp_path, *SHORT, "--batch", "50")
    assert ended.code == 0, ended.told
    assert ended.result["refused_events"] == ended.result["not_acked_by_code"]["bad_severity"] > 0
    assert ended.result["acked_events"] == len(stub.stored)


async def test_when_nothing_is_acknowledged_it_ends_with_4(stub: StubServices, tmp_path: Path) -> None:
    stub.fault = lambda _number: problem(422, "all_rejected")
    ended = await _run(stub, tmp_path, *SHORT, "--batch", "50")
    assert ended.code == 4
    assert ended.result["refused_events"] == ended.result["sent_events"] > 0


async def test_an_answer_that_never_comes_leaves_the_events_unknown(stub: StubServices, tmp_path: Path) -> None:
    stub.fault = lambda _number: web.Response(status=500, text="broken")
    ended = await _run(stub, tmp_path, *SHORT, "--batch", "50")
    sent = ended.result["sent_events"]
    assert ended.result["unknown_events"] == sent > 0
    assert ended.result["not_acked_by_code"] == {"500 not a problem document": sent}


async def test_freshness_is_what_the_query_api_makes_it(stub: StubServices, tmp_path: Path) -> None:
    stub.visible_after_s = 0.4
    ended = await _run(stub, tmp_path, *SHORT)
    assert ended.code == 0, ended.told
    assert ended.result["freshness_ms"]["p50"] >= 400


async def test_ctrl_c_stops_the_sending_and_still_verifies(stub: StubServices, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    process = await _start(stub, "--rps", "100", "--duration", "0", json_to=str(path))

    async def some_are_stored() -> bool:
        return len(stub.stored) >= 50

    await eventually(some_are_stored, "50 events are stored")
    process.send_signal(signal.SIGINT)
    ended = await _end(process, path)
    assert ended.code == 0, ended.told
    assert ended.result["acked_events"] == len(stub.stored)
    assert "Stopping" in ended.told


async def test_a_result_that_cannot_be_written_is_told_with_a_code_of_its_own(stub: StubServices) -> None:
    process = await _start(stub, *SHORT, json_to="/dev/full")
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 5, output
    assert b"loadgen: the result cannot be written: [Errno 28] No space left on device" in output


async def test_a_missing_query_api_is_said_before_anything_is_sent(stub: StubServices, tmp_path: Path) -> None:
    ended = await _run(stub, tmp_path, *SHORT, "--query-url", "http://127.0.0.1:9")
    assert ended.code == 3
    assert "cannot connect to 127.0.0.1:9" in ended.told
    assert stub.bodies == []


async def test_a_missing_gateway_is_one_clear_line(stub: StubServices, tmp_path: Path) -> None:
    ended = await _run(stub, tmp_path, *SHORT, "--gateway-url", "http://127.0.0.1:9")
    assert ended.code == 3
    assert ended.told.startswith("loadgen: the gateway is not there: cannot connect to 127.0.0.1:9")


async def test_seed_can_be_sent(stub: StubServices) -> None:
    arguments = ("seed", "--count", "120", "--send", "http", "--gateway-url", stub.url, "--batch", "50")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadgen", *arguments), stderr=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0
    assert told.decode().strip() == "120 of 120 events acknowledged"
    assert len({event["id"] for event in stub.stored}) == 120
