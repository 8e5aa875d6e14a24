"""Row E1: three times what fits is offered; as much as before is taken, and exactly that is stored."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.agreement import Agreement
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Fate, Ledger
from tests.faults.intensity import Intensity, row, struck
from tests.faults.offered import OfferedLoad
from tests.faults.tcp_faults import Applied, Bandwidth, Direction
from tests.faults.tcp_proxy import proxied
from tests.faults.test_kafka_faults import ProxiedServer
from tests.processes import Spawner
from tests.servers import READY_TIMEOUT_S, RealServer, StackMaker
from threatlog.embedded import KafkaNode, KafkaServer
from threatlog.embedded.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
# So little that two busy cores reach it: then it is the way that is full, not the machine.
BYTES_PER_S = 1_000_000
# Enough to fill it, and few enough for all of them to be taken.
SENDERS = 12
PEAK_S = 6.0
# A request may expect to wait for three tenths of `server.write_timeout`; the rest is for the send, and this machine.
ACCEPTED_WITHIN_S = 4.0


@row("E1")
async def test_three_times_what_fits_is_offered_and_as_much_as_before_is_taken_and_stored(
    stack_maker: StackMaker, server_folder: Path, spawn: Spawner, intensity: Intensity
) -> None:
    port, controller_port = free_port(random.Random()), free_port(random.Random())
    with proxied(port, random.Random(intensity.seed)) as proxy:
        folder = server_folder / f"kafka-narrow-{intensity.seed}"
        kafka = KafkaServer(folder, KafkaNode(port, controller_port, proxy.port))
        kafka.start()
        try:
            kafka.wait_ready(READY_TIMEOUT_S)
            proxy.apply(Applied(Bandwidth(BYTES_PER_S), Direction.UP))
            reached = cast(RealServer, ProxiedServer(kafka, proxy.port))
            maker = stack_maker.on(replace(stack_maker.servers, kafka=reached))
            stack, ledger = maker.make(4, {}), Ledger()
            fleet = Fleet(stack, spawn)
            await asyncio.to_thread(fleet.wait_ready)
            await _overloaded(OfferedLoad(ledger, fleet.gateway_url, intensity.rng), intensity)
            async with Agreement(stack, ledger) as agreement:
                await agreement.assert_clean(120.0)
            fleet.assert_alive()
            for part in fleet.parts:
                await fleet.terminate(part)
        finally:
            kafka.stop()
    assert ledger.count(Fate.REFUSED)


async def _overloaded(load: OfferedLoad, intensity: Intensity) -> None:
    """At capacity, at three times of it, and at half of it."""
    peak = (await load.closed(SENDERS, PEAK_S)).events_per_s(PEAK_S)
    seconds, after_s = intensity.pick(12, 300), intensity.pick(9, 15)
    over = await load.open(3 * peak, seconds)
    after = await load.open(peak / 2, after_s)
    taken, slowest = over.events_per_s(seconds), over.percentile_s(0.99)
    intensity.saw(
        f"{taken:.0f} events/s taken of {3 * peak:.0f}, {taken / peak:.0%} of the {peak:.0f} before; p99 of those"
        f" {slowest:.1f} s; {len(over.refused)} refused, the last one {after.last_refusal_s:.1f} s after it ended"
    )
    struck(len(over.refused) > len(over.accepted) / 2, "too little was refused for three times the capacity")
    # A collapse is far below; the figure itself is for a machine that does nothing else.
    assert taken >= peak * (0.9 if intensity.full else 0.5)
    assert slowest <= ACCEPTED_WITHIN_S
    assert after.last_refusal_s <= after_s * 2 / 3
