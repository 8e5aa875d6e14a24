"""Gathers the records of all requests for a few milliseconds and sends them together, within a deadline of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingest_gateway.connection_keeper import ConnectionKeeper, ConnectionPolicy
from ingest_gateway.log_connection import Line, LogConnection, OutgoingBatch
from ingest_gateway.publishing import KafkaState, PublishUnavailableError, Receipt, RecordHeaders
from ingest_gateway.request_queue import FilledBatch, PendingRequest, RequestQueue

log = logging.getLogger(__name__)


class PublisherMeters(Protocol):
    """What is counted while publishing."""

    def batch_acknowledged(self, duration_s: float) -> None:
        """One batch took this long from sending to acknowledgement."""


@dataclass(frozen=True, slots=True)
class PublisherPolicy:
    """Times and sizes of a GroupPublisher."""

    deadline_s: float
    max_unacknowledged_bytes: int
    linger_s: float = 0.003
    max_batch_bytes: int = 512 * 1024
    connection: ConnectionPolicy = field(default_factory=ConnectionPolicy)


class GroupPublisher:
    """An EventPublisher over a connection that it opens, probes and replaces by itself.

    At most one batch per partition is on its way; what comes meanwhile waits here, where it can still be taken back.
    So batches grow with the load, and a request that was refused before it was in a batch is certain not to arrive.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LogConnection]],
        policy: PublisherPolicy,
        meters: PublisherMeters,
    ) -> None:
        self._policy = policy
        self._meters = meters
        self._loop = asyncio.get_running_loop()
        self._queue = RequestQueue(policy.max_unacknowledged_bytes)
        self._keeper = ConnectionKeeper(connect, policy.connection, self._pump)
        self._flush: asyncio.TimerHandle | None = None
        self._closing = False
        self._settled = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def unacknowledged_bytes(self) -> int:
        """Bytes taken from senders that Kafka has not acknowledged."""
        return self._queue.unacknowledged_bytes

    def state(self) -> KafkaState:
        """The last known state, without asking Kafka."""
        oldest = self._keeper.oldest_batch_age_s()
        if self._keeper.state.connected and oldest > self._policy.deadline_s:
            return KafkaState(False, f"Kafka answers but has not acknowledged a batch for {oldest:.0f} s")
        return self._keeper.state

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:
        """Returns when every replica that must have the records has them. Raises PublishUnavailableError."""
        if self._closing:
            raise PublishUnavailableError("stopping", "this gateway is stopping; nothing of this request was sent")
        if not values:
            return []
        request = PendingRequest(values, headers, self._loop.create_future())
        self._queue.add(request)
        self._settled.clear()
        expiry = self._loop.call_later(self._policy.deadline_s, self._expire, request)
        self._schedule()
        try:
            return await request.answer
        finally:
            expiry.cancel()
            # Also when the caller was cancelled: nobody waits for the rest of this request any more.
            if request.unacknowledged:
                self._withdraw(request)

    def _expire(self, request: PendingRequest) -> None:
        untouched = self._withdraw(request)
        outcome = (
            "nothing of this request was sent"
            if untouched
            else "the events may still be stored; a retry with the same ids or Idempotency-Key adds nothing twice"
        )
        reason = self._keeper.state.detail or "it is slow"
        request.fail(
            PublishUnavailableError(
                "kafka_unavailable",
                f"Kafka did not acknowledge within {self._policy.deadline_s:g} s ({reason}); {outcome}",
                may_arrive=not untouched,
            )
        )

    def _withdraw(self, request: PendingRequest) -> bool:
        untouched = self._queue.withdraw(request)
        self._note_settled()
        return untouched

    def _schedule(self) -> None:
        if self._queue.waiting_bytes >= self._policy.max_batch_bytes:
            self._pump()
        elif self._flush is None:
            self._flush = self._loop.call_later(self._policy.linger_s, self._pump)

    def _pump(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        line = self._keeper.line
        if line is None or line.broken:
            return
        while self._queue and line.idle:
            batch = line.connection.new_batch()
            filled = self._queue.fill(batch)
            partition = line.idle.popleft()
            line.sent_at[partition] = self._loop.time()
            line.records += sum(part.count for part in filled.parts)
            task = self._loop.create_task(self._send(line, batch, filled, partition))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, line: Line, batch: OutgoingBatch, filled: FilledBatch, partition: int) -> None:
        try:
            offset = await batch.send(partition)
        except PublishUnavailableError as error:
            self._keeper.report_broken(line)
            filled.fail(error)
            if not self._closing:
                log.error("Kafka refused a batch; the producer is replaced", extra={"detail": error.detail})
        else:
            self._meters.batch_acknowledged(self._loop.time() - line.sent_at[partition])
            filled.acknowledge(partition, offset)
            line.idle.append(partition)
        finally:
            del line.sent_at[partition]
            self._queue.release(filled.size_bytes)
            self._note_settled()
        if self._queue and self._flush is None:
            self._pump()

    def _note_settled(self) -> None:
        if self._queue.unacknowledged_bytes == 0:
            self._settled.set()

    async def close(self, timeout_s: float) -> None:
        """Refuses new requests, waits for acknowledgements while there is time, then ends whatever is left."""
        self._closing = True
        deadline = self._loop.time() + timeout_s
        self._pump()
        try:
            async with asyncio.timeout(timeout_s * 0.7):
                if self._queue.unacknowledged_bytes:
                    await self._settled.wait()
        except TimeoutError:
            log.warning("stopping without an acknowledgement", extra={"bytes": self._queue.unacknowledged_bytes})
        await self._keeper.stop()
        stopping = PublishUnavailableError("stopping", "this gateway stopped; the events may or may not be stored")
        for request in self._queue.drain():
            request.fail(stopping)
        await self._keeper.close(max(0.0, deadline - self._loop.time()))
        await asyncio.gather(*self._sending, return_exceptions=True)
