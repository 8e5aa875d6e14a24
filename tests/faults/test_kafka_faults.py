"""Rows B1 to B3: Kafka refuses, hangs, is slow; and the gateway answers within its deadline all the same."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from tests.faults.intensity import Intensity, row, struck
from tests.faults.tcp_faults import Applied, Bandwidth, Direction, Latency, Reset, Slicer
from tests.faults.tcp_proxy import proxied
from tests.faults.under_load import Run, start, under_load
from tests.processes import Spawner
from tests.servers import READY_TIMEOUT_S, RealServer, Stack, StackMaker
from threatlog.embedded import KafkaNode, KafkaServer
from threatlog.embedded.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
DEADLINE_S = 5.0
# Half a second more than the deadline, and what two cores busy with other tests add.
ANSWERED_WITHIN_S = DEADLINE_S + 2.5
MAX_GROWTH_BYTES = 64 << 20
TAKEN_AGAIN_WITHIN_S = 15.0


def resident_bytes(run: Run) -> int:
    """What the gateway takes of memory."""
    found: int = psutil.Process(run.fleet.gateway.process.child.pid).memory_info().rss
    return found


@row("B1")
async def test_while_kafka_refuses_senders_are_told_within_the_deadline(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    kafka = stack.servers.kafka
    await _away(stack, spawn, intensity, kafka.kill, lambda: start(kafka))


@row("B2")
async def test_while_kafka_hangs_senders_are_told_within_the_deadline(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    kafka = stack.servers.kafka

    async def thaw() -> None:
        kafka.thaw()

    await _away(stack, spawn, intensity, kafka.freeze, thaw)


async def _away(
    stack: Stack,
    spawn: Spawner,
    intensity: Intensity,
    leave: Callable[[], None],
    come_back: Callable[[], Awaitable[None]],
) -> None:
    async def faults(run: Run) -> None:
        run.load.longest_answer_s = 0.0
        before = resident_bytes(run)
        leave()
        await asyncio.sleep(intensity.pick(10, 60))
        growth = resident_bytes(run) - before
        struck(run.load.unavailable, "nobody was answered 503")
        await come_back()
        began = time.monotonic()
        await run.grown(1, TAKEN_AGAIN_WITHIN_S)
        again_s = time.monotonic() - began
        await run.grown(500)
        assert run.load.longest_answer_s <= ANSWERED_WITHIN_S
        assert growth <= MAX_GROWTH_BYTES
        intensity.saw(
            f"{run.load.unavailable} times told to come again, after {run.load.longest_answer_s:.1f} s at most;"
            f" the gateway grew by {growth >> 20} MiB; taken again {again_s:.1f} s after Kafka was back"
        )

    await under_load(stack, spawn, faults, seed=intensity.seed)


@row("B2")
async def test_a_gateway_ends_in_time_while_kafka_hangs(stack: Stack, spawn: Spawner, intensity: Intensity) -> None:
    async def faults(run: Run) -> None:
        stack.servers.kafka.freeze()
        try:
            await asyncio.sleep(2)
            await run.fleet.terminate(run.fleet.gateway)
        finally:
            stack.servers.kafka.thaw()
        run.fleet.restart(run.fleet.gateway)

    run = await under_load(stack, spawn, faults, seed=intensity.seed)
    intensity.saw(f"ended {run.fleet.gateway.stop_times_s[-1]:.1f} s after SIGTERM")


@row("B3")
@pytest.mark.parametrize("kind", ["late", "narrow", "reset", "sliced"])
async def test_a_bad_way_to_kafka_makes_it_slower_and_loses_nothing(
    stack_maker: StackMaker, server_folder: Path, spawn: Spawner, intensity: Intensity, kind: str
) -> None:
    """Both ways and for everybody: the address that Kafka tells its clients is the proxy's."""
    applied = {
        "late": Applied(Latency(0.25, 0.25), Direction.UP),
        "narrow": Applied(Bandwidth(20_000 * intensity.pick(5, 1)), Direction.UP),
        "reset": Applied(Reset(), Direction.UP, probability=0.02),
        "sliced": Applied(Slicer(64), Direction.DOWN),
    }[kind]
    port, controller_port = free_port(random.Random()), free_port(random.Random())
    with proxied(port, random.Random(intensity.seed)) as proxy:
        kafka = KafkaServer(
            server_folder / f"kafka-{kind}-{intensity.seed}", KafkaNode(port, controller_port, proxy.port)
        )
        kafka.start()
        try:
            kafka.wait_ready(READY_TIMEOUT_S)
            reached = cast(RealServer, ProxiedServer(kafka, proxy.port))
            stack = stack_maker.on(replace(stack_maker.servers, kafka=reached)).make(4, {})

            async def faults(run: Run) -> None:
                proxy.apply(applied)
                await asyncio.sleep(intensity.pick(8, 60))
                await run.grown(200, 120.0)
                proxy.clear()
                struck(proxy.struck[type(applied.fault).__name__], f"the way to Kafka was not {kind}")

            run = await under_load(stack, spawn, faults, seed=intensity.seed)
        finally:
            kafka.stop()
    intensity.saw(f"{kind}: {dict(proxy.struck)}; {run.acknowledged} acknowledged, {run.load.retries} sent again")


class ProxiedServer:
    """A server that is reached at another port."""

    def __init__(self, server: RealServer, port: int) -> None:
        self._server = server
        self.name = server.name
        self.port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)
