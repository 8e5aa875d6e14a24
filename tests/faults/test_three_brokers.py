"""Rows K1 to K4: of three brokers one is killed, a leader freezes, two are gone, and each is restarted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.faults.intensity import Intensity, row, struck
from tests.faults.under_load import Run, under_load
from tests.processes import Spawner
from tests.servers import READY_TIMEOUT_S, Stack, StackMaker
from threatlog.embedded import KafkaCluster, KafkaServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
# Until a broker is found dead, another one leads, and clients have heard of it; on two cores with three brokers.
TAKEN_AGAIN_WITHIN_S = 45.0


@pytest.fixture(scope="module")
def cluster(server_folder: Path) -> Iterator[KafkaCluster]:
    """Three brokers for all tests of this file."""
    started = KafkaCluster(server_folder / "cluster", random.Random())
    started.start()
    try:
        started.wait_ready(READY_TIMEOUT_S)
        yield started
    finally:
        started.stop()


@pytest.fixture
def stack(cluster: KafkaCluster, stack_maker: StackMaker) -> Iterator[Stack]:
    """A stack on the three brokers, every topic with three replicas of which two must have each record."""
    maker = stack_maker.on(replace(stack_maker.servers, kafka=cluster))
    variables = {
        "THREATLOG_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
        "THREATLOG_KAFKA_REPLICATION_FACTOR": "3",
        "THREATLOG_KAFKA_MIN_INSYNC_REPLICAS": "2",
    }
    made = maker.make(4, variables)
    yield made
    maker.remove(made)


async def leader_of(stack: Stack, partition: int) -> int:
    """The id of the node that leads a partition of the topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        [topic] = await admin.describe_topics([stack.settings.kafka.topic])
    finally:
        await admin.close()
    return int({found["partition"]: found["leader"] for found in topic["partitions"]}[partition])


async def again(node: KafkaServer) -> None:
    """Starts a node, and returns when it answers."""
    node.start()
    await asyncio.to_thread(node.wait_ready, READY_TIMEOUT_S)


@row("K1")
async def test_a_broker_killed_under_load_costs_a_while_and_no_event(
    cluster: KafkaCluster, stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    waited_s = []

    async def faults(run: Run) -> None:
        for _ in range(intensity.pick(1, 6)):
            node = cluster.nodes[await leader_of(stack, intensity.rng.randrange(4))]
            node.kill()
            began = time.monotonic()
            # Events of every partition are taken and stored by the two that are left.
            await run.visible_within(TAKEN_AGAIN_WITHIN_S)
            waited_s.append(time.monotonic() - began)
            await run.grown(500, TAKEN_AGAIN_WITHIN_S)
            struck(not node.running, "the broker lives")
            await again(node)

    run = await under_load(stack, spawn, faults, seed=intensity.seed)
    intensity.saw(f"{len(waited_s)} kills: stored again after {max(waited_s):.1f} s; {run.ledger.summary()}")


@row("K2")
async def test_a_leader_that_freezes_is_replaced_and_changes_nothing_when_it_wakes(
    cluster: KafkaCluster, stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    waited_s = []

    async def faults(run: Run) -> None:
        for _ in range(intensity.pick(1, 6)):
            led = intensity.rng.randrange(4)
            leader = await leader_of(stack, led)
            node = cluster.nodes[leader]
            node.freeze()
            began = time.monotonic()
            try:
                await run.visible_within(TAKEN_AGAIN_WITHIN_S)
                waited_s.append(time.monotonic() - began)
                struck(await leader_of(stack, led) != leader, "the frozen broker still leads")
            finally:
                node.thaw()
            await run.grown(500, TAKEN_AGAIN_WITHIN_S)

    await under_load(stack, spawn, faults, seed=intensity.seed)
    intensity.saw(f"{len(waited_s)} freezes: every partition stored again after {max(waited_s):.1f} s")


@row("K3")
async def test_with_two_of_three_gone_nothing_is_acknowledged_that_could_be_lost(
    cluster: KafkaCluster, stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async def faults(run: Run) -> None:
        gone = intensity.rng.sample(sorted(cluster.nodes), 2)
        for node in gone:
            cluster.nodes[node].kill()
        # What was on its way to all three may still be confirmed.
        await asyncio.sleep(1)
        acknowledged, turned_away = run.acknowledged, run.load.answered_503
        await asyncio.sleep(intensity.pick(10, 30))
        assert run.acknowledged == acknowledged
        struck(run.load.answered_503 > turned_away, "nobody was answered 503")
        for node in gone:
            await again(cluster.nodes[node])
        began = time.monotonic()
        await run.grown(1, TAKEN_AGAIN_WITHIN_S)
        intensity.saw(
            f"{run.load.answered_503} times 503; taken again {time.monotonic() - began:.1f} s after both were back"
        )
        await run.visible_within(TAKEN_AGAIN_WITHIN_S)

    await under_load(stack, spawn, faults, seed=intensity.seed)


@row("K4")
async def test_every_broker_restarted_in_turn_costs_no_event(
    cluster: KafkaCluster, stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async def faults(run: Run) -> None:
        for node in cluster.nodes.values():
            await asyncio.to_thread(node.stop, 30.0)
            await again(node)
            await run.visible_within(TAKEN_AGAIN_WITHIN_S)

    run = await under_load(stack, spawn, faults, seed=intensity.seed)
    intensity.saw(f"{run.ledger.summary()}; {run.load.unavailable} requests had to be sent again")
