"""SIGTERM ends each process within ten seconds with exit code 0: idle, under load, and in the middle of a rebalance."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.agreement import Agreement
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Ledger
from tests.e2e.load import Load, Mix
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def test_every_idle_process_ends_with_code_0(stack: Stack, spawn: Spawner) -> None:
    fleet = Fleet(stack, spawn, workers=1, queries=1)
    await asyncio.to_thread(fleet.wait_ready)
    for part in fleet.parts:
        await fleet.terminate(part)
    assert {part.name: part.exit_codes for part in fleet.parts} == {part.name: [0] for part in fleet.parts}


async def test_every_process_under_load_ends_with_code_0_and_loses_nothing(stack: Stack, spawn: Spawner) -> None:
    ledger = Ledger()
    fleet = Fleet(stack, spawn, workers=2, queries=1)
    await asyncio.to_thread(fleet.wait_ready)
    load = Load(ledger, fleet.gateway_url, 7, Mix())
    await load.start(stack.settings.kafka.bootstrap_servers, stack.settings.kafka.topic)
    try:
        for part in fleet.parts:
            await fleet.terminate(part)
            fleet.restart(part)
            await asyncio.to_thread(part.process.wait_http, part.ready_url)
    finally:
        await load.stop()
    assert {part.name: part.exit_codes for part in fleet.parts} == {part.name: [0] for part in fleet.parts}
    async with Agreement(stack, ledger) as agreement:
        await agreement.assert_clean()


async def test_a_worker_ends_with_code_0_while_its_group_waits_for_one_that_was_killed(
    stack: Stack, spawn: Spawner
) -> None:
    fleet = Fleet(stack, spawn, workers=2)
    await asyncio.to_thread(fleet.wait_ready)
    killed, survivor = fleet.workers
    fleet.kill(killed)
    # The newcomer makes the group rebalance, which Kafka holds up until the killed member has expired.
    fleet.restart(killed)
    await asyncio.sleep(3.0)
    await fleet.terminate(survivor)
    await fleet.terminate(killed)
    assert (survivor.exit_codes, killed.exit_codes) == ([0], [0])
