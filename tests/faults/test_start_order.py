"""Row B12: whatever comes up first, everything is ready soon after the last one is there."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from tests.e2e.fleet import Fleet
from tests.faults.intensity import Intensity, row
from tests.faults.under_load import start, under_load
from tests.processes import Spawner, http_status
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ORDERS = list(itertools.permutations(("kafka", "postgres", "redis")))
# A worker asks Kafka with a back-off of up to five seconds, then joins its group, on two cores with other tests.
READY_WITHIN_S = 30.0


async def nothing(_run: object) -> None:
    """The start was the fault."""


@row("B12")
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_services_that_start_before_their_servers_wait_for_them(
    stack: Stack, spawn: Spawner, intensity: Intensity, order: tuple[str, ...]
) -> None:
    if not intensity.full and order not in (ORDERS[1], ORDERS[-1]):
        pytest.skip("every order with --faults=full; two of them always")
    servers = {server.name: server for server in stack.servers.all}
    for server in servers.values():
        await asyncio.to_thread(server.stop)
    fleet = Fleet(stack, spawn, queries=1)
    for part in fleet.parts:
        await asyncio.to_thread(part.process.wait_http, part.ready_url.replace("/readyz", "/livez"))
        assert http_status(part.ready_url) == 503
    for name in order:
        await asyncio.sleep(intensity.pick(2, 30))
        await start(servers[name])
    began = time.monotonic()
    await asyncio.to_thread(fleet.wait_ready, READY_WITHIN_S)
    intensity.saw(f"{', '.join(order)}: everything ready {time.monotonic() - began:.1f} s after the last")
    await under_load(stack, spawn, nothing, seed=intensity.seed, fleet=fleet)
