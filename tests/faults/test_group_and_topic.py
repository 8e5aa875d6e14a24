"""Rows C1 to C8: workers come and go, PostgreSQL is slow, and the topic and the group change under them."""

from __future__ import annotations

import asyncio
import random
import time

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import CommitFailedError

from tests.e2e.agreement import eventually
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Fate
from tests.faults.intensity import Intensity, row, struck
from tests.faults.tcp_faults import Applied, Direction, Latency
from tests.faults.tcp_proxy import proxied
from tests.faults.under_load import Run, through, under_load
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
COMPRESSIONS = (None, "gzip", "snappy", "lz4", "zstd")
CLOCKS_MS = (None, 0, 4_102_444_800_000)
# What Kafka takes of one record by default, less what stands around the value.
LARGEST_BYTES = (1 << 20) - 1024
MAX_GROWTH_BYTES = 64 << 20
NOTICED_WITHIN_S = 60.0
# No rebalance takes longer than a session, and in C1 two of them may meet.
HELD_UP_S = 20.0


async def stored_offsets(stack: Stack) -> dict[int, int]:
    """Partition -> next offset."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    try:
        rows = await connection.fetch("SELECT partition, next_offset FROM consumer_offsets")
    finally:
        await connection.close()
    return {row["partition"]: row["next_offset"] for row in rows}


@row("C1")
async def test_workers_that_come_and_go_hold_nothing_up_and_no_offset_goes_back(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async def faults(run: Run) -> None:
        changes = 0
        first = before = await stored_offsets(stack)
        acknowledged = run.acknowledged
        grew_s = time.monotonic()
        ends = grew_s + intensity.pick(25, 600)
        while time.monotonic() < ends:
            worker = run.fleet.workers[2]
            await run.fleet.terminate(worker)
            await asyncio.sleep(intensity.rng.uniform(1, 5))
            run.fleet.restart(worker)
            await asyncio.sleep(intensity.rng.uniform(3, 8))
            changes += 2
            now = await stored_offsets(stack)
            assert all(now[partition] >= offset for partition, offset in before.items())
            if sum(now.values()) > sum(before.values()):
                grew_s = time.monotonic()
            # Two rebalances may follow on each other so closely that nothing is stored between them.
            assert time.monotonic() - grew_s < HELD_UP_S
            before = now
        stored, taken = sum(before.values()) - sum(first.values()), run.acknowledged - acknowledged
        assert stored >= taken / 2
        intensity.saw(f"{changes} rebalances, {stored} records stored of {taken} acknowledged meanwhile")

    await under_load(stack, spawn, faults, seed=intensity.seed, fleet=Fleet(stack, spawn, workers=3))


@row("C2")
async def test_more_workers_than_partitions_stand_by_and_take_over(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    """Four partitions, five workers."""

    async def faults(run: Run) -> None:
        for worker in run.fleet.workers[: intensity.pick(2, 4)]:
            run.fleet.kill(worker)
        intensity.saw(
            f"stored again {await run.visible_within(40.0):.1f} s after {intensity.pick(2, 4)} of 5 were killed"
        )
        for worker in run.fleet.workers[: intensity.pick(2, 4)]:
            run.fleet.restart(worker)

    await under_load(stack, spawn, faults, seed=intensity.seed, fleet=Fleet(stack, spawn, workers=5))


@row("C3")
async def test_a_slow_postgresql_leaves_what_waits_in_kafka(stack: Stack, spawn: Spawner, intensity: Intensity) -> None:
    with proxied(stack.settings.postgres.port, random.Random(intensity.seed)) as proxy:

        async def faults(run: Run) -> None:
            processes = [psutil.Process(worker.process.child.pid) for worker in run.fleet.workers]
            before = [process.memory_info().rss for process in processes]
            proxy.apply(Applied(Latency(0.15), Direction.UP))
            await asyncio.sleep(intensity.pick(10, 60))
            growth = max(process.memory_info().rss - had for process, had in zip(processes, before, strict=True))
            proxy.clear()
            struck(proxy.struck["Latency"], "PostgreSQL was not slow")
            assert growth <= MAX_GROWTH_BYTES
            logs = [worker.process.log_text() for worker in run.fleet.workers]
            assert not [text for text in logs if "Heartbeat session expired" in text]
            intensity.saw(f"a worker grew by {growth >> 20} MiB at most, none lost its session")

        fleet = Fleet(through(stack, postgres=proxy.port), spawn)
        await under_load(stack, spawn, faults, seed=intensity.seed, fleet=fleet)


@row("C4")
async def test_new_partitions_are_found_while_everything_runs(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async def faults(run: Run) -> None:
        kafka = stack.settings.kafka
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        await admin.create_partitions({kafka.topic: NewPartitions(total_count=8)})
        await admin.close()
        began = time.monotonic()
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
        await producer.start()
        await producer.send_and_wait(kafka.topic, b"no event at all, in a new partition", partition=7)
        run.ledger.settle_bad(b"no event at all, in a new partition", Fate.ACKED)
        await producer.stop()

        async def unseen() -> str:
            found = await stored_offsets(stack)
            return "" if found.get(7) else f"known are {sorted(found)}"

        await eventually(unseen, NOTICED_WITHIN_S, "a record of a new partition is stored")
        intensity.saw(f"four partitions more: stored from {time.monotonic() - began:.0f} s later on")

    await under_load(stack, spawn, faults, seed=intensity.seed)


@row("C6")
async def test_a_group_whose_offsets_are_lost_starts_where_postgresql_says(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    kafka = stack.settings.kafka

    async def faults(run: Run) -> None:
        for worker in run.fleet.workers:
            await run.fleet.terminate(worker)
        await commit_everywhere(stack, 0)
        await run.grown(500)
        for worker in run.fleet.workers:
            run.fleet.restart(worker)
        await run.visible_within(60.0)

    await under_load(stack, spawn, faults, seed=intensity.seed)
    intensity.saw(f"the group {kafka.consumer_group} was set back to 0: nothing twice")


async def commit_everywhere(stack: Stack, offset: int) -> None:
    """Sets the group's offsets, as an operator's tool does while nobody is in it.

    A worker that ended in the middle of a rebalance is a member until its session is over: so long Kafka refuses.
    """
    kafka = stack.settings.kafka
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=kafka.consumer_group, enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([TopicPartition(kafka.topic, number) for number in range(kafka.partitions)])

    async def refusal() -> str:
        try:
            await consumer.commit(dict.fromkeys(consumer.assignment(), offset))
        except CommitFailedError as error:
            return str(error)
        return ""

    await eventually(refusal, 30.0, "offsets are taken, since the group is empty")
    struck(await consumer.committed(TopicPartition(kafka.topic, 0)) == offset, "the group's offsets stayed")
    await consumer.stop()


@row("C7")
async def test_records_of_other_producers_are_kept_whatever_they_look_like(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    """Every compression, without headers, with and without a key, a mebibyte of value, clocks that are decades off."""
    kafka, sent = stack.settings.kafka, 0

    async def faults(run: Run) -> None:
        nonlocal sent
        for number, compression in enumerate(COMPRESSIONS * intensity.pick(1, 20)):
            producer = AIOKafkaProducer(
                bootstrap_servers=kafka.bootstrap_servers,
                compression_type=compression,
                acks="all",
                max_request_size=2 << 20,
            )
            await producer.start()
            for at_ms in CLOCKS_MS:
                for value in (f"no event {number} {at_ms}".encode(), f"{number} {at_ms} ".encode() * 90_000):
                    kept = value[:LARGEST_BYTES]
                    run.ledger.settle_bad(kept, Fate.ACKED)
                    key = None if number % 2 else b"k"
                    await producer.send_and_wait(kafka.topic, kept, key=key, timestamp_ms=at_ms)
                    sent += 1
            await producer.stop()

    run = await under_load(stack, spawn, faults, seed=intensity.seed)
    struck(run.ledger.bad_acked >= sent, "Kafka did not take them")
    intensity.saw(f"{sent} records with {len(COMPRESSIONS)} compressions: every one a dead letter with its bytes")
