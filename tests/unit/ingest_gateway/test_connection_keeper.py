"""When a connection is replaced and when it is not, on a Kafka that does what the test says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ingest_gateway.publishing import PublishUnavailableError
from tests.unit.ingest_gateway.scripted_kafka import (
    POLICY,
    ScriptedKafka,
    publisher_on,
    refusal_of,
    until,
    with_connection,
)


async def test_a_connection_that_refused_a_batch_is_replaced() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka) as publisher:
        await publisher.publish([b"1"], [])
        kafka.refusal = PublishUnavailableError("kafka_unavailable", "sequence broken", may_arrive=True)
        assert (await refusal_of(publisher)).detail == "sequence broken"
        kafka.refusal = None
        await publisher.publish([b"2"], [])

        assert len(kafka.connections) == 2
        await until(lambda: kafka.connections[0].closed)


async def test_a_connection_that_is_stuck_while_kafka_answers_is_replaced() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka) as publisher:
        kafka.answering.clear()
        await refusal_of(publisher)
        await until(lambda: len(kafka.connections) > 1)


async def test_kafka_that_answers_but_does_not_acknowledge_is_not_called_connected() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka, with_connection(stuck_after_s=60.0)) as publisher:
        kafka.answering.clear()
        await refusal_of(publisher)

        await until(lambda: "has not acknowledged" in publisher.state().detail)


async def test_another_connection_is_no_proof_that_kafka_acknowledges() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka, with_connection(stuck_after_s=0.3)) as publisher:
        kafka.answering.clear()
        await refusal_of(publisher)
        await until(lambda: not publisher.state().connected)
        seen: set[bool] = set()

        async def watch() -> None:
            while len(kafka.connections) < 4:
                seen.add(publisher.state().connected)
                await asyncio.sleep(0.001)

        watching = asyncio.ensure_future(watch())
        while not watching.done():
            await refusal_of(publisher)
        assert seen == {False}
        kafka.answering.set()
        await publisher.publish([b"2"], [])

        assert publisher.state().connected


async def test_kafka_that_refuses_every_batch_is_not_called_connected() -> None:
    kafka = ScriptedKafka(1)
    kafka.refusal = PublishUnavailableError("kafka_unavailable", "too large", may_arrive=True)
    async with publisher_on(kafka) as publisher:

        async def send_until_noticed() -> None:
            while publisher.state().connected or not kafka.connections:
                await refusal_of(publisher)

        await asyncio.wait_for(send_until_noticed(), 5)
        kafka.refusal = None
        await publisher.publish([b"2"], [])

        assert publisher.state().connected


async def test_after_a_while_without_requests_it_is_ready_to_try_again() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka, with_connection(stuck_after_s=0.3, quiet_s=0.2)) as publisher:
        kafka.answering.clear()
        await refusal_of(publisher)
        await until(lambda: not publisher.state().connected)

        await until(lambda: publisher.state().connected)
        assert len(kafka.batches) == 1


async def test_a_partition_without_a_leader_is_left_out_until_it_has_one() -> None:
    kafka = ScriptedKafka(3)
    kafka.leaderless = {1}
    async with publisher_on(kafka) as publisher:
        assert {(await publisher.publish([b"v"], []))[0].partition for _ in range(6)} == {0, 2}
        kafka.leaderless.clear()
        used: set[int] = set()

        async def use() -> None:
            while len(used) < 3:
                used.add((await publisher.publish([b"v"], []))[0].partition)

        await asyncio.wait_for(use(), 5)


async def test_a_partition_that_loses_its_leader_costs_only_its_own_batch() -> None:
    kafka = ScriptedKafka(3)
    async with publisher_on(kafka) as publisher:
        await publisher.publish([b"1"], [])
        kafka.leaderless = {1}
        stuck = asyncio.ensure_future(refusal_of(publisher, b"2"))
        await until(lambda: len(kafka.batches) == 2)
        partitions = set()
        for _ in range(30):
            partitions.add((await publisher.publish([b"v"], []))[0].partition)
            await asyncio.sleep(0.02)
            assert publisher.state().connected
        assert (await stuck).may_arrive

        assert partitions == {0, 2}
        assert len(kafka.connections) == 1
        kafka.leaderless.clear()
        await until(lambda: kafka.log[1] == [b"2"])


async def test_without_any_leader_kafka_is_not_called_connected_and_what_waits_goes_out_when_there_is_one() -> None:
    kafka = ScriptedKafka(2)
    async with publisher_on(kafka, replace(POLICY, deadline_s=5.0)) as publisher:
        await publisher.publish([b"1"], [])
        kafka.leaderless = {0, 1}
        await until(lambda: "no partition of the topic has a leader" in publisher.state().detail)
        waiting = asyncio.ensure_future(publisher.publish([b"2"], []))
        await until(lambda: publisher.unacknowledged_bytes)
        kafka.leaderless = {0}

        assert (await asyncio.wait_for(waiting, 2.0))[0].partition == 1
        await until(lambda: publisher.state().connected)


async def test_a_connection_is_not_replaced_while_kafka_does_not_answer() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka) as publisher:
        await publisher.publish([b"1"], [])
        kafka.answering.clear()
        kafka.reachable.clear()
        await refusal_of(publisher)
        await refusal_of(publisher)
        kafka.answering.set()
        kafka.reachable.set()
        await publisher.publish([b"2"], [])

        assert len(kafka.connections) == 1
        await until(lambda: publisher.state().connected)


async def test_a_connection_is_renewed_before_its_sequence_numbers_wrap_and_loses_nothing() -> None:
    kafka = ScriptedKafka(2)
    async with publisher_on(kafka, with_connection(max_records=10)) as publisher:
        for number in range(30):
            await publisher.publish([b"%d" % number], [])
            if number == 15:
                await until(lambda: len(kafka.connections) > 1)

    assert sorted(value for partition in kafka.log for value in partition) == sorted(b"%d" % n for n in range(30))


async def test_partitions_that_were_added_are_used() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka) as publisher:
        await publisher.publish([b"1"], [])
        kafka.log.append([])
        used: set[int] = set()

        async def use() -> None:
            while len(used) < 2:
                used.add((await publisher.publish([b"v"], []))[0].partition)

        await asyncio.wait_for(use(), 5)


async def test_the_state_follows_kafka() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    async with publisher_on(kafka) as publisher:
        assert publisher.state().connected is False
        await until(lambda: publisher.state().detail == "nobody there")
        kafka.reachable.set()
        await until(lambda: publisher.state().connected)
        kafka.reachable.clear()
        await until(lambda: not publisher.state().connected)
        kafka.reachable.set()
        await until(lambda: publisher.state().connected)


async def test_a_topic_that_was_made_anew_with_fewer_partitions_gets_a_new_connection() -> None:
    kafka = ScriptedKafka(3)
    async with publisher_on(kafka) as publisher:
        await publisher.publish([b"1"], [])
        del kafka.log[2]
        await until(lambda: len(kafka.connections) > 1)

        assert {(await publisher.publish([b"v"], []))[0].partition for _ in range(6)} == {0, 1}
