"""The aiokafka 0.14.0 consumer under Faust's: its records, seeks and way out. The only file that imports it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict
from operator import attrgetter
from typing import Any, Final

from aiokafka.client import ConnectionGroup
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException

_GIVE_UP_WITHIN_S: Final = 1.0
_offset_of = attrgetter("offset")


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


def consumer_under(faust_consumer: Any) -> Any:
    """The aiokafka consumer that Faust's consumer drives; None before it is made."""
    return getattr(getattr(faust_consumer, "_thread", None), "_consumer", None)


async def seek_if_assigned(consumer: Any, partition: Any, offset: int) -> None:
    """Reads on from `offset`; nothing for a partition that is not ours any more. For the consumer's own thread."""
    if partition in consumer.assignment():
        consumer.seek(partition, offset)


def read_whole_batches(consumer: Any) -> None:
    """Makes a started AIOKafkaConsumer hand over the records that its parser made, a whole record batch at a time."""
    fetcher = consumer._fetcher
    fetcher._records = _FetchResults(fetcher._records)


class _FetchResults(OrderedDict[Any, Any]):
    """What was fetched and not yet read, by partition; aiokafka puts a FetchResult or an error here."""

    def __setitem__(self, partition: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            result.getall = BatchReader(result)
        super().__setitem__(partition, result)


class BatchReader:
    """Takes the place of `FetchResult.getall`.

    aiokafka passes each record through two Python iterators and makes a ConsumerRecord of it: two microseconds, where
    reading all records of a batch takes a quarter of one. The parser's own has what
    `Record` asks for, and headers.
    """

    __slots__ = ("_following", "_left", "_result", "_stock")

    def __init__(self, result: Any) -> None:
        self._result = result
        self._stock = result.getall
        self._left: list[Any] = []
        # Where reading goes on after `_left`.
        self._following: int = result._partition_records.next_fetch_offset

    def __call__(self, max_records: int | None = None) -> list[Any]:
        """At most `max_records` records, and moves the consumer's position behind them."""
        result = self._result
        if not result.has_more():
            return []
        if result._partition_records._aborted_transactions:
            # Which of the records belong to a transaction that was given up is aiokafka's to say.
            records: list[Any] = self._stock(max_records)
            return records
        if not result.check_assignment(result._topic_partition):
            return []
        source = result._partition_records
        taken, self._left = self._left, []
        ended = False
        while not ended and (max_records is None or len(taken) < max_records):
            ended = not self._take_batch(source, taken)
        if max_records is not None:
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
        self._following = batch.next_offset
        return True
