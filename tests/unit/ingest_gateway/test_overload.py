"""More than Kafka takes: what is stored is answered 201, the rest is refused at once, in a time that is simulated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ingest_gateway.admission import retry_after_s
from ingest_gateway.group_publisher import GroupPublisher, PublisherPolicy
from ingest_gateway.log_connection import OutgoingBatch, TopicPartitions
from ingest_gateway.publishing import PublishUnavailableError, RecordHeaders
from ingest_gateway.request_queue import RECORD_OVERHEAD_BYTES
from tests.unit.ingest_gateway.virtual_time import run_in_virtual_time

DEADLINE_S = 5.0
RECORD_BYTES = 300
REQUEST_RECORDS = 20
REQUEST_BYTES = REQUEST_RECORDS * (RECORD_BYTES + RECORD_OVERHEAD_BYTES)
REQUEST = [bytes(RECORD_BYTES)] * REQUEST_RECORDS
MAX_BATCH_BYTES = 512 * 1024
CAPACITY = 1_000_000.0


class SlowKafka:
    """A LogConnection over one disk of so many bytes a second that all partitions share, while `running` is set."""

    def __init__(self, bytes_per_s: float, partitions: int = 12) -> None:
        self.bytes_per_s = bytes_per_s
        self.running = asyncio.Event()
        self.running.set()
        self.stored_records = 0
        self._partitions = frozenset(range(partitions))
        self._disk = asyncio.Lock()

    async def connect(self) -> SlowKafka:
        return self

    def new_batch(self) -> OutgoingBatch:
        return SlowBatch(self)

    async def partitions(self) -> TopicPartitions:
        return TopicPartitions(self._partitions, self._partitions)

    async def close(self, timeout_s: float) -> None:
        """Nothing to end."""

    def batch_acknowledged(self, duration_s: float) -> None:
        """Counts nothing."""

    async def write(self, records: int) -> None:
        async with self._disk:
            await self.running.wait()
            await asyncio.sleep(records * (RECORD_BYTES + RECORD_OVERHEAD_BYTES) / self.bytes_per_s)
            self.stored_records += records


class SlowBatch:
    """As large as one of Kafka's."""

    def __init__(self, kafka: SlowKafka) -> None:
        self._kafka = kafka
        self._records = 0

    def extend(self, values: Sequence[bytes], start: int, headers: RecordHeaders) -> int:  # noqa: ARG002 - the interface's
        room = MAX_BATCH_BYTES // RECORD_BYTES - self._records
        end = min(len(values), start + room)
        self._records += end - start
        return end

    async def send(self, partition: int) -> int | None:  # noqa: ARG002 - the interface's
        await self._kafka.write(self._records)
        return 0


@dataclass(slots=True)
class Senders:
    """Requests at a steady rate, and what they were answered."""

    publisher: GroupPublisher
    answers: Counter[str] = field(default_factory=Counter)
    refusals: list[PublishUnavailableError] = field(default_factory=list)
    slowest_overloaded_s: float = 0.0

    async def send(self, bytes_per_s: float, for_s: float) -> None:
        """Sends for so long, then waits for every answer."""
        begin = asyncio.get_running_loop().time()
        moments = [begin + n * REQUEST_BYTES / bytes_per_s for n in range(int(for_s * bytes_per_s / REQUEST_BYTES))]
        await asyncio.gather(*map(self._request, moments))

    async def _request(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at - loop.time())
        began = loop.time()
        try:
            await self.publisher.publish(REQUEST, ())
            self.answers["201"] += 1
        except PublishUnavailableError as error:
            self.answers[error.code] += 1
            self.refusals.append(error)
            if error.code == "overloaded":
                self.slowest_overloaded_s = max(self.slowest_overloaded_s, loop.time() - began)


def publisher_on(kafka: SlowKafka, max_unacknowledged_bytes: int = 64 << 20) -> GroupPublisher:
    policy = PublisherPolicy(DEADLINE_S, max_unacknowledged_bytes, max_batch_bytes=MAX_BATCH_BYTES)
    return GroupPublisher(kafka.connect, policy, kafka, random_share=lambda: 1.0)


@pytest.mark.parametrize("partitions", [1, 12])
@pytest.mark.parametrize("load", [1.2, 2.0, 10.0])
def test_beyond_its_capacity_what_kafka_stores_is_answered_201(load: float, partitions: int) -> None:
    async def overload() -> tuple[SlowKafka, Senders]:
        kafka = SlowKafka(CAPACITY, partitions)
        senders = Senders(publisher_on(kafka))
        await senders.send(CAPACITY * load, for_s=20.0)
        await senders.publisher.close(1.0)
        return kafka, senders

    kafka, senders = run_in_virtual_time(overload())

    assert senders.answers["201"] * REQUEST_RECORDS >= 0.95 * kafka.stored_records
    assert senders.answers["201"] * REQUEST_BYTES >= 0.95 * 20.0 * CAPACITY, "Kafka is kept busy"
    assert senders.answers["overloaded"] >= 0.95 * len(senders.refusals)
    assert senders.slowest_overloaded_s == 0.0
    assert not any(refusal.may_arrive for refusal in senders.refusals if refusal.code == "overloaded")


def test_below_its_capacity_nothing_is_refused_however_the_load_comes() -> None:
    async def bursts() -> Senders:
        senders = Senders(publisher_on(SlowKafka(CAPACITY)))
        for _ in range(10):
            await senders.send(CAPACITY / 20, for_s=5.0)
            # Four seconds' worth at once: all of it can still be acknowledged in time.
            await senders.send(CAPACITY * 1000, for_s=0.004)
        await senders.publisher.close(1.0)
        return senders

    assert set(run_in_virtual_time(bursts()).answers) == {"201"}


def test_after_an_outage_everything_is_taken_at_once() -> None:
    async def outage() -> tuple[Senders, Senders]:
        kafka = SlowKafka(CAPACITY * 20)
        publisher = publisher_on(kafka)
        during, after = Senders(publisher), Senders(publisher)
        await during.send(CAPACITY, for_s=5.0)
        assert set(during.answers) == {"201"}
        kafka.running.clear()
        await during.send(CAPACITY, for_s=20.0)
        kafka.running.set()
        await after.send(CAPACITY, for_s=20.0)
        await publisher.close(1.0)
        return during, after

    during, after = run_in_virtual_time(outage())

    assert set(during.answers) == {"201", "kafka_unavailable"}
    assert set(after.answers) == {"201"}


def test_the_cap_is_503_while_kafka_acknowledges_nothing_and_is_to_be_tried_later_the_longer_that_lasts() -> None:
    async def frozen() -> Senders:
        kafka = SlowKafka(CAPACITY)
        kafka.running.clear()
        senders = Senders(publisher_on(kafka, max_unacknowledged_bytes=1 << 20))
        await senders.send(CAPACITY * 2, for_s=30.0)
        kafka.running.set()
        await senders.publisher.close(1.0)
        return senders

    senders = run_in_virtual_time(frozen())

    assert set(senders.answers) == {"kafka_unavailable"}
    at_the_cap = [refusal for refusal in senders.refusals if "may" in refusal.detail]
    assert at_the_cap
    assert not any(refusal.may_arrive for refusal in at_the_cap)
    assert [at_the_cap[0].retry_after_s, at_the_cap[-1].retry_after_s] == [2, 10]


def test_the_cap_is_overload_while_kafka_acknowledges() -> None:
    async def overload() -> Senders:
        kafka = SlowKafka(CAPACITY)
        senders = Senders(publisher_on(kafka, max_unacknowledged_bytes=1 << 20))
        await senders.send(CAPACITY * 2, for_s=30.0)
        await senders.publisher.close(1.0)
        return senders

    senders = run_in_virtual_time(overload())

    assert set(senders.answers) == {"201", "overloaded"}
    assert "at most 1048576 may" in senders.refusals[-1].detail


def test_a_request_that_would_exceed_the_cap_of_a_kafka_that_works_is_overload() -> None:
    async def large_behind_small() -> PublishUnavailableError:
        publisher = publisher_on(SlowKafka(CAPACITY), max_unacknowledged_bytes=1 << 20)
        small = asyncio.ensure_future(publisher.publish(REQUEST, ()))
        await asyncio.sleep(0)
        with pytest.raises(PublishUnavailableError) as refusal:
            await publisher.publish(REQUEST * 200, ())
        await small
        await publisher.close(1.0)
        return refusal.value

    refusal = run_in_virtual_time(large_behind_small())

    assert (refusal.code, refusal.may_arrive) == ("overloaded", False)


@pytest.mark.parametrize(
    ("expected_s", "soonest", "latest"), [(0.0, 1, 2), (2.0, 1, 2), (4.0, 2, 4), (10.0, 5, 10), (3600.0, 5, 10)]
)
def test_senders_come_back_after_half_to_all_of_the_expected_time(expected_s: float, soonest: int, latest: int) -> None:
    assert [retry_after_s(expected_s, share) for share in (0.0, 1.0)] == [soonest, latest]
