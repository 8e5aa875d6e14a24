"""Produces events straight to Kafka; the only file that imports aiokafka (0.14.0).

Quirks: `create_batch` + `append` + `send_batch` cost a tenth of `send`. A builder's `append` returns None when full.
With `enable_idempotence` the producer retries for ever and `stop` can hang while the broker is away; without it a batch
fails after `request_timeout_ms`, and a repeat is harmless because each event carries its id. `send_batch` counts its
waits twice: where many batches wait for one partition it gives up early, with a KafkaTimeoutError marked as final.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, KafkaTimeoutError

from loadgen.kafka_login import KafkaLogin
from loadgen.outcome import Attempt, Fate, TargetUnreachableError

_MAX_BATCH_BYTES: Final = 900_000  # Under Kafka's default message.max.bytes also when zstd gains nothing.
_STOP_TIMEOUT_S: Final = 5.0


class PlaceUnknownError(Exception):
    """Whether Kafka has the record is not known; the text names the kind of failure."""


class KafkaSender:
    """The topic as a target: acks=all, zstd, partitions in turn."""

    def __init__(self, bootstrap: str, topic: str, timeout_s: float, login: KafkaLogin | None = None) -> None:
        """Raises ValueError for a login that cannot be used."""
        self._bootstrap: Final = bootstrap
        self._login: Final = (login or KafkaLogin()).keywords()
        self._topic: Final = topic
        self._timeout_s: Final = timeout_s
        self._producer: Any = None
        self._partitions: itertools.cycle[int] = itertools.cycle(())

    async def open(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            **self._login,
            acks="all",
            compression_type="zstd",
            max_batch_size=_MAX_BATCH_BYTES,
            max_request_size=4 * _MAX_BATCH_BYTES,
            request_timeout_ms=int(self._timeout_s * 1000),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.start()
                partitions = await self._producer.partitions_for(self._topic)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            await self.close()
            reason = await self._cause() or str(error) or type(error).__name__
            raise TargetUnreachableError(f"Kafka at {self._bootstrap}, topic {self._topic}: {reason}") from None
        self._partitions = itertools.cycle(sorted(partitions))

    async def _cause(self) -> str:
        """Why the first server lets nobody in, which the producer's error leaves out; empty when it does."""
        host, _, port = self._bootstrap.split(",")[0].strip().rpartition(":")
        try:
            connection = await create_conn(
                host, int(port), request_timeout_ms=int(self._timeout_s * 1000), **self._login
            )
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            return str(error) or type(error).__name__
        connection.close()
        return ""

    def pack(self, values: Sequence[bytes]) -> Sequence[bytes]:
        return values

    async def attempt(self, packed: Sequence[bytes]) -> Attempt:
        try:
            async with asyncio.timeout(self._timeout_s):
                waiting = [await self._hand_over(values) for values in self._batches(packed)]
                await asyncio.gather(*waiting)
        except TimeoutError:
            return Attempt(Fate.UNKNOWN, "timed out", retry=True)
        except KafkaError as error:
            name = type(error).__name__
            # A part of the events may be in another batch that was written, so even a refusal leaves them unknown.
            return Attempt(Fate.UNKNOWN, name, retry=bool(error.retriable) or isinstance(error, KafkaTimeoutError))
        return Attempt(Fate.ACKED, "acks=all")

    async def place(self, value: bytes) -> tuple[int, int]:
        """Sends one record by itself and returns its partition and offset. Raises PlaceUnknownError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._producer.send_and_wait(self._topic, value, partition=next(self._partitions))
        except (KafkaError, TimeoutError) as error:
            raise PlaceUnknownError(type(error).__name__) from None
        return found.partition, found.offset

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await producer.stop()

    def _batches(self, values: Sequence[bytes]) -> list[Any]:
        builders: list[Any] = [self._producer.create_batch()]
        for value in values:
            if builders[-1].append(key=None, value=value, timestamp=None) is None:
                builders.append(self._producer.create_batch())
                builders[-1].append(key=None, value=value, timestamp=None)
        return builders

    async def _hand_over(self, builder: Any) -> asyncio.Future[Any]:
        builder.close()
        written: asyncio.Future[Any] = await self._producer.send_batch(
            builder, self._topic, partition=next(self._partitions)
        )
        # A failure after our own time-out has been reported already.
        written.add_done_callback(lambda future: future.cancelled() or future.exception())
        return written
