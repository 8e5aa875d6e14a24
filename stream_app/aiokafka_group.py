"""The aiokafka 0.14.0 consumer under Faust: its records, its place, its way out. The only file that imports it."""

from __future__ import annotations

import asyncio
import logging
import random
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException, KafkaError

from stream_app.chunks import BufferedEvents
from stream_app.outcomes import LogUnavailableError
from stream_app.retry import Backoff
from threatlog.process.kafka_connection import connect_keywords, noting_connect_faults

if TYPE_CHECKING:
    from stream_app.faust_app import StreamApp
    from threatlog.process.server_settings import Kafka

log = logging.getLogger(__name__)
_GIVE_UP_WITHIN_S: Final = 1.0
# A fetch that finds nothing is answered after this long; a partition that just gave records waits for it to end.
_FETCH_MAX_WAIT_MS: Final = 100
# A broker that is frozen or cut off has another one in its place sooner than this.
_ANSWERED_WITHIN_MS: Final = 10_000
_offset_of, _value_of = attrgetter("offset"), attrgetter("value")


async def give_up_joining(consumer: Any) -> None:
    """Ends what an AIOKafkaConsumer's `stop` would wait for without bound, before it says goodbye to the group.

    That is the answer to JoinGroup, which Kafka holds back until every member has joined or expired (10 s for one that
    was killed), or a rebalance callback into Faust's main loop, which takes none any more. Kafka answers the requests
    of one connection in turn, so while one of them waits the goodbye needs a new connection.
    """
    coordinator, connections = consumer._coordinator, consumer._client._conns
    coordination = getattr(coordinator, "_coordination_task", None)
    if coordination is None or coordination.done():
        return
    coordination.cancel()
    await asyncio.wait({coordination}, timeout=_GIVE_UP_WITHIN_S)
    connection = connections.get((coordinator.coordinator_id, ConnectionGroup.COORDINATION))
    if connection is not None and connection._requests:
        connection.close()


@contextmanager
def kafka_may_be_away() -> Iterator[None]:
    """Raises LogUnavailableError for what aiokafka raises when Kafka does not answer."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailableError(f"{type(error).__name__}: {error}") from error


async def wait_for_kafka(kafka: Kafka, backoff: Backoff, randomness: random.Random) -> None:
    """Returns once one of the servers answers. Faust's own start gives up at the first try, and ends the process."""
    attempt = 0
    while True:
        attempt += 1
        client = AIOKafkaClient(**connect_keywords(kafka), client_id=f"{kafka.topic}-start", request_timeout_ms=5000)
        with noting_connect_faults(kafka) as faults:
            try:
                await client.bootstrap()
            except (KafkaError, OSError, TimeoutError) as error:
                why = faults.reason(error)
                log.warning("Kafka is away; the worker starts once it answers", extra={"why": why})
            else:
                return
            finally:
                await client.close()
        await asyncio.sleep(backoff.delay_s(attempt, randomness))


def set_beyond_faust(consumer: Any) -> None:
    """Sets what Faust fixes and has no setting for, in an AIOKafkaConsumer that is not started.

    One time-out serves aiokafka for every request, and must be longer than Kafka may hold the answer to JoinGroup back.
    A frozen broker would be waited for as long, by turns for records, metadata and the group's coordinator: a minute
    until the partitions it led were read again. So it holds only where JoinGroup is sent.
    """
    consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS
    # Faust ties this one to its own transactions. Records of others', while open or when aborted, are not events.
    consumer._isolation_level = "read_committed"
    client = consumer._client
    held_back_s, connect = client._request_timeout_ms / 1000, client._get_conn
    client._request_timeout_ms = _ANSWERED_WITHIN_MS

    async def connected(node: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, no_hint: bool = False) -> Any:
        connection = await connect(node, group=group, no_hint=no_hint)
        if connection is not None and group == ConnectionGroup.COORDINATION:
            connection._request_timeout = held_back_s
        return connection

    client._get_conn = connected


async def seek_if_assigned(consumer: Any, partition: Any, offset: int) -> None:
    """Reads on from `offset`; nothing for a partition that is not ours any more. For the consumer's own thread."""
    if partition in consumer.assignment():
        consumer.seek(partition, offset)


def read_whole_batches(consumer: Any, buffered: BufferedEvents) -> None:
    """Makes a started AIOKafkaConsumer hand over the records that its parser made, a whole record batch at a time.

    One reading of all partitions ends with the batch that makes it more than `buffered.max_window_bytes` of values.
    """
    fetcher = consumer._fetcher
    fetcher._records = results = _FetchResults(fetcher._records)
    read = fetcher.fetched_records

    async def fetched_records(*args: Any, **options: Any) -> Any:
        results.room.bytes = buffered.max_window_bytes
        return await read(*args, **options)

    fetcher.fetched_records = fetched_records


@dataclass(slots=True)
class Room:
    """How many bytes of values may still be read.

    What is fetched is bounded only as it was compressed: one mebibyte may be hundreds.
    """

    bytes: int = 0


class _FetchResults(OrderedDict[Any, Any]):
    """What was fetched and not yet read, by partition; aiokafka puts a FetchResult or an error here."""

    def __init__(self, *args: Any) -> None:
        self.room = Room()
        super().__init__(*args)

    def __setitem__(self, partition: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            result.getall = BatchReader(result, self.room)
        super().__setitem__(partition, result)


class BatchReader:
    """Takes the place of `FetchResult.getall`.

    aiokafka passes each record through two Python iterators and makes a ConsumerRecord of it: two microseconds, where
    reading all records of a batch takes a quarter of one. The parser's own has what
    `Record` asks for, and headers.
    """

    __slots__ = ("_following", "_given_up", "_left", "_result", "_room", "_stock")

    def __init__(self, result: Any, room: Room) -> None:
        self._result = result
        self._room = room
        self._stock = result.getall
        # Kept from the start: aiokafka's own reading uses the list up.
        self._given_up = bool(result._partition_records._aborted_transactions)
        self._left: list[Any] = []
        # Where reading goes on after `_left`.
        self._following: int = result._partition_records.next_fetch_offset

    def __call__(self, max_records: int | None = None) -> list[Any]:
        """At most `max_records` records, and moves the consumer's position behind them."""
        result = self._result
        if not result.has_more() or self._room.bytes <= 0:
            return []
        if self._given_up:
            # Which of the records belong to a transaction that was given up is aiokafka's to say.
            records: list[Any] = self._stock(max_records)
            return records
        if not result.check_assignment(result._topic_partition):
            return []
        source = result._partition_records
        taken, self._left = self._left, []
        ended = False
        while not ended and self._room.bytes > 0 and (max_records is None or len(taken) < max_records):
            ended = not self._take_batch(source, taken)
        if max_records is not None and len(taken) > max_records:
            taken, self._left = taken[:max_records], taken[max_records:]
        source.next_fetch_offset = self._left[0].offset if self._left else self._following
        result._update_position()
        if ended and not self._left:
            result._partition_records = None
        return taken

    def _take_batch(self, source: Any, taken: list[Any]) -> bool:
        """Adds the records of the next batch; whether there was one. Raises CorruptRecordException."""
        if not source._records.has_next():
            return False
        batch = source._records.next_batch()
        if source._check_crcs and not batch.validate_crc():
            if not taken:
                raise CorruptRecordException(f"Invalid CRC - {source._tp}")
            # What came before it is read; it is fetched once more, and is then the first.
            return False
        if not batch.is_control_batch:
            records = list(batch)
            if records and records[0].offset < self._following:
                records = records[bisect_left(records, self._following, key=_offset_of) :]
            taken += records
            self._room.bytes -= sum(map(len, filter(None, map(_value_of, records))))
        self._following = batch.next_offset
        return True


class KafkaLog:
    """What the pipeline asks of Kafka besides chunks. `app` is set once it is built: each needs the other."""

    app: StreamApp

    def __init__(self, topic: str) -> None:
        self._topic = topic

    async def log_start(self, partition: int) -> int:
        """The first offset that the partition still has. Raises LogUnavailableError."""
        tp = TopicPartition(self._topic, partition)
        with kafka_may_be_away():
            return int(next(iter((await self.app.consumer.earliest_offsets(tp)).values())))

    async def seek(self, partition: int, offset: int) -> None:
        """Reads on from `offset`, if the partition is still ours."""
        tp = TopicPartition(self._topic, partition)
        if tp in self._consumer.assignment():
            await self._consumer.seek_to(tp, offset)

    def pause(self, partition: int) -> None:
        """No record of it is handed over any more; what was fetched stays where it is."""
        self._consumer.pause_partitions({TopicPartition(self._topic, partition)})

    def resume(self, partition: int) -> None:
        """They are again, if it is still ours: Faust would ask for those of others, too."""
        tp = TopicPartition(self._topic, partition)
        if tp in self._consumer.assignment():
            self._consumer.resume_partitions({tp})

    def settled(self) -> bool:
        """Whether no rebalance is under way."""
        return bool(getattr(self.app.consumer, "settled", False))

    def passed(self) -> dict[int, tuple[int, int]]:
        """Partition -> offsets [start, end) that were read past since the last chunk."""
        return dict(self._consumer.reading.passed) if self.settled() else {}

    @property
    def _consumer(self) -> Any:
        return self.app.consumer


class RecordSender:
    """Sends single records to a topic, each safe when it returns; use it as an async context manager."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._topic = kafka.topic
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> RecordSender:
        self._producer = AIOKafkaProducer(**connect_keywords(self._kafka), acks="all", compression_type="zstd")
        with kafka_may_be_away():
            await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._producer is not None
        with kafka_may_be_away():
            await self._producer.stop()

    async def send(
        self, value: bytes, key: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> tuple[int, int]:
        """The partition and the offset where it lies. Raises LogUnavailableError."""
        assert self._producer is not None
        with kafka_may_be_away():
            found = await self._producer.send_and_wait(self._topic, value, key=key, headers=list(headers))
        return found.partition, found.offset
