"""Grouping, the deadline, the cap and the stop, on a Kafka that does what the test says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ingest_gateway.group_publisher import GroupPublisher
from ingest_gateway.publishing import PublishUnavailableError, Receipt
from tests.unit.ingest_gateway.scripted_kafka import (
    POLICY,
    ScriptedKafka,
    publisher_on,
    refusal_of,
    until,
)


async def test_requests_of_the_same_moment_leave_in_one_batch() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka) as publisher:
        receipts = await asyncio.gather(*(publisher.publish([b"%d" % n, b"x"], []) for n in range(3)))

    assert kafka.batches == [[b"0", b"x", b"1", b"x", b"2", b"x"]]
    assert receipts == [[Receipt(0, 0, 2)], [Receipt(0, 2, 2)], [Receipt(0, 4, 2)]]
    assert len(kafka.acknowledged) == 1


async def test_a_request_over_several_batches_has_a_receipt_for_each_in_order() -> None:
    kafka = ScriptedKafka(3)
    values = [bytes([n]) * 400 for n in range(6)]
    async with publisher_on(kafka) as publisher:
        receipts = await publisher.publish(values, [])

    read = [value for r in receipts for value in kafka.log[r.partition][r.offset or 0 : (r.offset or 0) + r.count]]
    assert read == values
    assert len(receipts) == 3


async def test_partitions_take_turns() -> None:
    kafka = ScriptedKafka(3)
    async with publisher_on(kafka) as publisher:
        partitions = [(await publisher.publish([b"v"], []))[0].partition for _ in range(6)]

    assert partitions == [0, 1, 2, 0, 1, 2]


async def test_while_every_partition_is_busy_records_gather_and_then_leave_together() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka) as publisher:
        kafka.answering.clear()
        first = asyncio.ensure_future(publisher.publish([b"1"], []))
        await until(lambda: kafka.batches)
        rest = [asyncio.ensure_future(publisher.publish([b"%d" % n], [])) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        kafka.answering.set()
        await asyncio.gather(first, *rest)

    assert kafka.batches == [[b"1"], [b"2", b"3", b"4"]]


async def test_nothing_to_publish_needs_no_kafka() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    async with publisher_on(kafka) as publisher:
        assert await publisher.publish([], []) == []


async def test_a_batch_without_acknowledgement_is_refused_at_the_deadline_as_perhaps_stored() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka) as publisher:
        kafka.answering.clear()
        refusal = await refusal_of(publisher)

        assert (refusal.code, refusal.may_arrive) == ("kafka_unavailable", True)


async def test_records_that_never_were_in_a_batch_are_taken_back_at_the_deadline() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    async with publisher_on(kafka) as publisher:
        refusal = await refusal_of(publisher)
        assert (refusal.code, refusal.may_arrive) == ("kafka_unavailable", False)
        assert publisher.unacknowledged_bytes == 0

        kafka.reachable.set()
        await publisher.publish([b"later"], [])

    assert kafka.batches == [[b"later"]]


async def test_bytes_over_the_cap_are_refused_at_once_and_taken_again_later() -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka, replace(POLICY, deadline_s=5.0)) as publisher:
        kafka.answering.clear()
        waiting = [asyncio.ensure_future(publisher.publish([bytes(900)], [])) for _ in range(9)]
        await until(lambda: publisher.unacknowledged_bytes > 9000)
        refusal = await refusal_of(publisher, bytes(900))
        assert (refusal.code, refusal.may_arrive) == ("kafka_unavailable", False)

        kafka.answering.set()
        await asyncio.gather(*waiting)
        assert publisher.unacknowledged_bytes == 0
        await publisher.publish([bytes(900)], [])


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret"), TimeoutError()])
async def test_a_send_that_fails_in_an_unforeseen_way_is_answered_and_costs_no_partition(failure: Exception) -> None:
    kafka = ScriptedKafka(1)
    async with publisher_on(kafka, replace(POLICY, deadline_s=5.0)) as publisher:
        kafka.refusal = failure
        refusal = await asyncio.wait_for(refusal_of(publisher), 2.0)
        assert (refusal.code, refusal.may_arrive) == ("kafka_unavailable", True)
        assert "secret" not in refusal.detail
        kafka.refusal = None

        assert await asyncio.wait_for(publisher.publish([b"2"], []), 2.0) == [Receipt(0, 0, 1)]
        assert publisher.unacknowledged_bytes == 0


async def test_a_request_larger_than_the_cap_passes_when_nothing_else_waits() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka) as publisher:
        receipts = await publisher.publish([bytes(900)] * 20, [])

    assert sum(receipt.count for receipt in receipts) == 20


async def test_a_stop_waits_for_acknowledgements_and_refuses_what_comes_after() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka, replace(POLICY, deadline_s=5.0)) as publisher:
        kafka.answering.clear()
        waiting = asyncio.ensure_future(publisher.publish([b"1"], []))
        await until(lambda: kafka.batches)
        closing = asyncio.ensure_future(publisher.close(5.0))
        await asyncio.sleep(0)
        refusal = await refusal_of(publisher)
        assert (refusal.code, refusal.may_arrive) == ("stopping", False)
        kafka.answering.set()

        assert await waiting == [Receipt(0, 0, 1)]
        await closing
        assert kafka.connections[0].closed


async def test_a_stop_ends_in_its_time_when_kafka_does_not_answer() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    publisher = GroupPublisher(kafka.connect, replace(POLICY, deadline_s=60.0), kafka)
    waiting = asyncio.ensure_future(publisher.publish([b"1"], []))
    await asyncio.sleep(0)
    await asyncio.wait_for(publisher.close(0.1), 2.0)

    with pytest.raises(PublishUnavailableError, match="stopped") as refusal:
        await waiting
    assert refusal.value.may_arrive is False


async def test_a_request_whose_caller_went_away_is_taken_back() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    async with publisher_on(kafka) as publisher:
        waiting = asyncio.ensure_future(publisher.publish([b"1"], []))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        assert publisher.unacknowledged_bytes == 0
