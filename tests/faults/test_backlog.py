"""Row E5: workers that start before a large backlog store it in bounded memory, and lag only ever falls."""

from __future__ import annotations

import asyncio
import time
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
# However long the backlog is: what `ingestion.buffer_size` events of this size and two windows take, beside the program.
MAX_RESIDENT_BYTES = 400 << 20


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
    backlog = Backlog(intensity.pick(100_000, 1_000_000))
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
        f"{backlog.events} events stored {took_s:.1f} s after two workers were started; each had {most >> 20} MiB at most"
    )
    struck(len(set(lags)) >= 3, f"lag was not seen falling: {sorted(set(lags))}")
    assert lags == sorted(lags, reverse=True)
    assert most <= MAX_RESIDENT_BYTES
    fleet.assert_alive()
