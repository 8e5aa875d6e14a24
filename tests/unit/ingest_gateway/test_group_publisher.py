"""Grouping, the deadline, the cap and the replacement of connections, on a Kafka that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ingest_gateway.group_publisher import GroupPublisher, OutgoingBatch, PublisherPolicy
from ingest_gateway.publishing import PublishUnavailableError, Receipt, RecordHeaders

POLICY = PublisherPolicy(
    deadline_s=0.2,
    max_unacknowledged_bytes=10_000,
    linger_s=0.001,
    max_batch_bytes=1000,
    probe_interval_s=0.01,
    probe_timeout_s=0.1,
    connect_timeout_s=0.1,
    retry_interval_s=0.01,
    stuck_after_s=0.1,
)


class ScriptedKafka:
    """Partitions as lists; `answering` holds back every acknowledgement while it is clear, `reachable` every probe."""

    def __init__(self, partitions: int = 2) -> None:
        self.log: list[list[bytes]] = [[] for _ in range(partitions)]
        self.batches: list[list[bytes]] = []
        self.connections: list[ScriptedConnection] = []
        self.answering, self.reachable = asyncio.Event(), asyncio.Event()
        self.answering.set()
        self.reachable.set()
        self.refusal: PublishUnavailableError | None = None
        self.acknowledged: list[float] = []

    async def connect(self) -> ScriptedConnection:
        if not self.reachable.is_set():
            raise PublishUnavailableError("kafka_unavailable", "nobody there")
        self.connections.append(ScriptedConnection(self))
        return self.connections[-1]

    def batch_acknowledged(self, duration_s: float) -> None:
        self.acknowledged.append(duration_s)


class ScriptedConnection:
    def __init__(self, kafka: ScriptedKafka) -> None:
        self.kafka = kafka
        self.closed = False

    def new_batch(self) -> OutgoingBatch:
        return ScriptedBatch(self.kafka)

    async def partitions(self) -> frozenset[int]:
        await self.kafka.reachable.wait()
        return frozenset(range(len(self.kafka.log)))

    async def close(self, timeout_s: float) -> None:  # noqa: ARG002 - the interface's
        self.closed = True


class ScriptedBatch:
    """Takes 1,000 bytes, or one record."""

    def __init__(self, kafka: ScriptedKafka) -> None:
        self.kafka = kafka
        self.values: list[bytes] = []

    def extend(self, values: Sequence[bytes], start: int, headers: RecordHeaders) -> int:  # noqa: ARG002 - the interface's
        for index in range(start, len(values)):
            if self.values and sum(map(len, self.values)) + len(values[index]) > 1000:
                return index
            self.values.append(values[index])
        return len(values)

    async def send(self, partition: int) -> int | None:
        self.kafka.batches.append(self.values)
        await self.kafka.answering.wait()
        if self.kafka.refusal is not None:
            raise self.kafka.refusal
        offset = len(self.kafka.log[partition])
        self.kafka.log[partition].extend(self.values)
        return offset


@asynccontextmanager
async def publisher_on(kafka: ScriptedKafka, policy: PublisherPolicy = POLICY) -> AsyncIterator[GroupPublisher]:
    publisher = GroupPublisher(kafka.connect, policy, kafka)
    try:
        yield publisher
    finally:
        kafka.answering.set()
        kafka.reachable.set()
        await publisher.close(1.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.001)


async def refusal_of(publisher: GroupPublisher, *values: bytes) -> PublishUnavailableError:
    with pytest.raises(PublishUnavailableError) as refusal:
        await publisher.publish(values or (b"v",), [])
    return refusal.value


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
        assert "may still be stored" in refusal.detail


async def test_records_that_never_were_in_a_batch_are_taken_back_at_the_deadline() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    async with publisher_on(kafka) as publisher:
        refusal = await refusal_of(publisher)
        assert (refusal.code, refusal.may_arrive) == ("kafka_unavailable", False)
        assert "nothing of this request was sent" in refusal.detail
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
        assert (refusal.code, refusal.may_arrive) == ("kafka_backlog", False)

        kafka.answering.set()
        await asyncio.gather(*waiting)
        assert publisher.unacknowledged_bytes == 0
        await publisher.publish([bytes(900)], [])


async def test_a_request_larger_than_the_cap_passes_when_nothing_else_waits() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka) as publisher:
        receipts = await publisher.publish([bytes(900)] * 20, [])

    assert sum(receipt.count for receipt in receipts) == 20


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
    async with publisher_on(kafka, replace(POLICY, stuck_after_s=60.0)) as publisher:
        kafka.answering.clear()
        await refusal_of(publisher)

        await until(lambda: "has not acknowledged" in publisher.state().detail)


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
    async with publisher_on(kafka, replace(POLICY, max_records_per_connection=10)) as publisher:
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


async def test_a_stop_waits_for_acknowledgements_and_refuses_what_comes_after() -> None:
    kafka = ScriptedKafka()
    async with publisher_on(kafka, replace(POLICY, deadline_s=5.0)) as publisher:
        kafka.answering.clear()
        waiting = asyncio.ensure_future(publisher.publish([b"1"], []))
        await until(lambda: kafka.batches)
        closing = asyncio.ensure_future(publisher.close(5.0))
        await asyncio.sleep(0)
        assert (await refusal_of(publisher)).code == "stopping"
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

    with pytest.raises(PublishUnavailableError, match="stopped"):
        await waiting


async def test_a_request_whose_caller_went_away_is_taken_back() -> None:
    kafka = ScriptedKafka()
    kafka.reachable.clear()
    async with publisher_on(kafka) as publisher:
        waiting = asyncio.ensure_future(publisher.publish([b"1"], []))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        assert publisher.unacknowledged_bytes == 0
