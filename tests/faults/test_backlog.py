"""Rows E5 and A8: a large backlog is stored in bounded memory; a worker killed for its memory reads less at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import Fleet
from tests.faults.backlog import Backlog
from tests.faults.intensity import Intensity, row, struck
from tests.processes import Spawner, http_json, wait_until
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
DRAINED_WITHIN_S = 300.0
# However long the backlog is: the program, `ingestion.buffer_size` events of this size and two windows of them.
MAX_RESIDENT_BYTES = 400 << 20
# What README.md says that a worker needs at most, and less than it takes in this backlog.
ENOUGH_BYTES = 1 << 30
TOO_LITTLE_BYTES = 300 << 20
# By the specification of the row; the third reads a sixty-fourth of the usual at once.
MOST_KILLS = 3


def most_resident_bytes(pid: int) -> int:
    """The most memory that a process ever had, by the kernel's own account."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


def known_lag(query_url: str) -> int | None:
    """Records not stored, by the query API; None while it does not know."""
    status, body = http_json(f"{query_url}/api/v1/lag")
    if status != 200 or body["stale"]:
        return None
    lag: int = body["total"]["lag"]
    return lag


@row("E5")
async def test_a_large_backlog_is_stored_in_bounded_memory_while_lag_only_falls(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    backlog = Backlog(intensity.pick(300_000, 1_000_000))
    await backlog.produce(stack)
    fleet = Fleet(stack, spawn, workers=0, queries=1)
    await asyncio.to_thread(fleet.wait_ready)

    def whole() -> Any:
        return known_lag(fleet.query_url) == backlog.events

    await asyncio.to_thread(wait_until, whole, 30.0, f"a lag of {backlog.events}")
    for _ in range(2):
        fleet.add_worker()
    lags, began = [backlog.events], time.monotonic()
    while lags[-1] and time.monotonic() < began + DRAINED_WITHIN_S:
        await asyncio.sleep(0.1)
        lag = await asyncio.to_thread(known_lag, fleet.query_url)
        if lag is not None:
            lags.append(lag)
    took_s = time.monotonic() - began
    await backlog.assert_stored(stack, DRAINED_WITHIN_S)
    most = max(most_resident_bytes(worker.process.child.pid) for worker in fleet.workers)
    intensity.saw(
        f"{backlog.events} events stored {took_s:.1f} s after two workers started, with {most >> 20} MiB each at most"
    )
    struck(len(set(lags)) >= 3, f"lag was not seen falling: {sorted(set(lags))}")
    assert lags == sorted(lags, reverse=True)
    assert most <= MAX_RESIDENT_BYTES
    fleet.assert_alive()


async def kill_beyond(limit_bytes: int, fleet: Fleet, whole: asyncio.Event) -> int:
    """Kills the worker each time it ever took more, as the kernel does, until the backlog is stored; how often.

    A memory cgroup is not to be had everywhere.
    """
    kills = 0
    while not whole.is_set():
        with suppress(FileNotFoundError, StopIteration):  # It is being started anew.
            if most_resident_bytes(fleet.workers[0].process.child.pid) > limit_bytes:
                fleet.kill(fleet.workers[0])
                fleet.restart(fleet.workers[0])
                kills += 1
        await asyncio.sleep(0.01)
    return kills


@row("A8")
async def test_a_worker_killed_for_its_memory_reads_less_at_once_until_it_has_enough(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    """Large events that compress well, so that one fetch holds all of them unless bytes are counted as well."""
    backlog = Backlog(intensity.pick(4_000, 20_000), repeated=7_000)
    await backlog.produce(stack)
    fleet = Fleet(stack, spawn, workers=1)
    whole = asyncio.Event()
    killing = asyncio.create_task(kill_beyond(TOO_LITTLE_BYTES, fleet, whole))
    try:
        await backlog.assert_stored(stack, DRAINED_WITHIN_S)
    finally:
        whole.set()
    kills = await killing
    most = most_resident_bytes(fleet.workers[0].process.child.pid)
    intensity.saw(f"{kills} kills at {TOO_LITTLE_BYTES >> 20} MiB, then stored with {most >> 20} MiB at most")
    struck(kills > 0, "the worker did not go beyond its memory")
    assert kills <= MOST_KILLS
    fleet.assert_alive()


@row("A8")
async def test_a_worker_needs_no_more_memory_than_is_said(stack: Stack, spawn: Spawner, intensity: Intensity) -> None:
    """Nobody died before it, so that it reads as much at once as it ever does."""
    backlog = Backlog(intensity.pick(3_000, 20_000), repeated=7_000)
    await backlog.produce(stack)
    fleet = Fleet(stack, spawn, workers=1)
    await backlog.assert_stored(stack, DRAINED_WITHIN_S)
    most = most_resident_bytes(fleet.workers[0].process.child.pid)
    intensity.saw(f"{backlog.events} of the largest events stored with {most >> 20} MiB at most")
    struck(most > TOO_LITTLE_BYTES, "the events took no memory")
    assert most <= ENOUGH_BYTES
    fleet.assert_alive()
