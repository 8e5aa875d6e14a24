"""Gathers the records of all requests for a few milliseconds and sends them together, within a deadline of its own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingest_gateway.admission import Admission, retry_after_s
from ingest_gateway.connection_keeper import ConnectionKeeper, ConnectionPolicy
from ingest_gateway.log_connection import LogConnection, OutgoingBatch, TrackedConnection
from ingest_gateway.publishing import KafkaState, PublishUnavailableError, Receipt, RecordHeaders, UnavailableCode
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
    What could not be acknowledged before its deadline is refused at once.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LogConnection]],
        policy: PublisherPolicy,
        meters: PublisherMeters,
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._meters = meters
        self._random_share = random_share
        self._loop = asyncio.get_running_loop()
        self._queue = RequestQueue()
        self._admission = Admission(
            policy.deadline_s, policy.max_unacknowledged_bytes, policy.max_batch_bytes, self._loop.time
        )
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
        silent_s = self._keeper.silent_s()
        if self._keeper.state.connected and silent_s > self._policy.deadline_s:
            return KafkaState(False, f"Kafka answers but has not acknowledged a batch for {silent_s:.0f} s")
        return self._keeper.state

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:
        """Returns when every replica that must have the records has them. Raises PublishUnavailableError."""
        if self._closing:
            raise self._unavailable("stopping", "this gateway is stopping")
        if not values:
            return []
        request = PendingRequest(values, headers, self._loop.create_future())
        self._admit(request)
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

    def _admit(self, request: PendingRequest) -> None:
        refusal = self._admission.refusal(request.waiting_bytes, self._queue.unacknowledged_bytes)
        if refusal is not None:
            if refusal.expected_s is not None and self.state().connected:
                raise self._unavailable("overloaded", refusal.detail, expected_s=refusal.expected_s)
            reason = self.state().detail or "it acknowledges nothing at present"
            raise self._unavailable("kafka_unavailable", f"{refusal.detail} ({reason})")
        self._queue.add(request)
        self._admission.follow(self._queue.unacknowledged_bytes)

    def _unavailable(
        self, code: UnavailableCode, detail: str, *, expected_s: float | None = None, may_arrive: bool = False
    ) -> PublishUnavailableError:
        """An outage that has lasted for long will hardly end at once: senders may wait for as long again."""
        wait_s = self._keeper.outage_s() if expected_s is None else expected_s
        seconds = retry_after_s(wait_s, self._random_share())
        return PublishUnavailableError(code, detail, retry_after_s=seconds, may_arrive=may_arrive)

    def _expire(self, request: PendingRequest) -> None:
        untouched = self._withdraw(request)
        reason = self.state().detail or "it is slow"
        detail = f"Kafka did not acknowledge within {self._policy.deadline_s:g} s ({reason})"
        request.fail(self._unavailable("kafka_unavailable", detail, may_arrive=not untouched))

    def _withdraw(self, request: PendingRequest) -> bool:
        untouched = self._queue.withdraw(request)
        self._note_release()
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
        connection = self._keeper.current
        if connection is None or connection.broken:
            return
        while self._queue and connection.idle:
            batch = connection.connection.new_batch()
            filled = self._queue.fill(batch)
            partition = self._keeper.sending(connection, filled.count)
            task = self._loop.create_task(self._send(connection, batch, filled, partition))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(
        self, connection: TrackedConnection, batch: OutgoingBatch, filled: FilledBatch, partition: int
    ) -> None:
        sent_at = self._loop.time()
        try:
            offset = await batch.send(partition)
        except Exception as error:
            self._keeper.refused(connection, partition)
            filled.fail(self._unavailable("kafka_unavailable", self._log_failure(error), may_arrive=True))
        else:
            self._meters.batch_acknowledged(self._loop.time() - sent_at)
            self._keeper.acknowledged(connection, partition)
            self._admission.acknowledged(filled.size_bytes)
            filled.acknowledge(partition, offset)
        finally:
            self._queue.release(filled.size_bytes)
            self._note_release()
        if self._queue and self._flush is None:
            self._pump()

    def _log_failure(self, error: Exception) -> str:
        """What the sender may read of a failed batch; the log has the rest."""
        if not isinstance(error, PublishUnavailableError):
            log.error("sending a batch failed in an unforeseen way; the producer is replaced", exc_info=error)
            return "our own fault; the log has it"
        if not self._closing:
            cause = repr(error.__cause__)
            log.error("Kafka refused a batch; the producer is replaced", extra={"detail": error.detail, "cause": cause})
        return error.detail

    def _note_release(self) -> None:
        unacknowledged = self._queue.unacknowledged_bytes
        self._admission.follow(unacknowledged)
        if unacknowledged == 0:
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
        for request in self._queue.drain():
            untouched = not request.receipts
            request.fail(self._unavailable("stopping", "this gateway stopped", may_arrive=not untouched))
        await self._keeper.close(max(0.0, deadline - self._loop.time()))
        await asyncio.gather(*self._sending, return_exceptions=True)
