"""Gathers the records of all requests for a few milliseconds and sends them together, within a deadline of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest_gateway.publishing import KafkaState, PublishUnavailableError, Receipt, RecordHeaders
from ingest_gateway.request_queue import Batch, FilledBatch, PendingRequest, RequestQueue

log = logging.getLogger(__name__)


class OutgoingBatch(Batch, Protocol):
    """A batch that can be sent."""

    async def send(self, partition: int) -> int | None:
        """Returns the offset of the first record when it is acknowledged, None when that is unknown.

        May wait for ever. After a failure its connection must not be used again.
        """


class LogConnection(Protocol):
    """One open producer, bound to the topic. Every failure is a PublishUnavailableError."""

    def new_batch(self) -> OutgoingBatch:
        """An empty batch."""

    async def partitions(self) -> frozenset[int]:
        """Asks Kafka for the topic's partitions: the proof that it answers. May take seconds."""

    async def close(self, timeout_s: float) -> None:
        """Sends what is left, within the time; then gives up everything and ends."""


class GatewayMeters(Protocol):
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
    probe_interval_s: float = 1.0
    probe_timeout_s: float = 2.0
    connect_timeout_s: float = 5.0
    retry_interval_s: float = 0.5
    # Kafka answers, yet a batch is this old: the producer is stuck and is replaced.
    stuck_after_s: float = 10.0
    # aiokafka 0.14 wraps a partition's sequence number to a negative one after 2**31 records, which Kafka refuses.
    max_records_per_connection: int = 2_000_000_000


class _Line:
    """One connection with its partitions: idle ones, and those with a batch on its way since when."""

    __slots__ = ("broken", "connection", "idle", "known", "records", "sent_at")

    def __init__(self, connection: LogConnection, partitions: frozenset[int]) -> None:
        self.connection = connection
        self.known = set(partitions)
        self.idle = deque(sorted(partitions))
        self.sent_at: dict[int, float] = {}
        self.records = 0
        self.broken = False

    def grow(self, partitions: frozenset[int]) -> None:
        self.idle.extend(sorted(partitions - self.known))
        self.known |= partitions


class GroupPublisher:
    """An EventPublisher over a connection that it opens, probes and replaces by itself.

    At most one batch per partition is on its way; what comes meanwhile waits here, where it can still be taken back.
    So batches grow with the load, and a request that was refused before it was in a batch is certain not to arrive.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LogConnection]],
        policy: PublisherPolicy,
        meters: GatewayMeters,
    ) -> None:
        self._connect = connect
        self._policy = policy
        self._meters = meters
        self._loop = asyncio.get_running_loop()
        self._queue = RequestQueue(policy.max_unacknowledged_bytes)
        self._line: _Line | None = None
        self._state = KafkaState(False, "not connected to Kafka yet")
        self._answers_since: float | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._closing = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._watcher = self._loop.create_task(self._watch())

    @property
    def unacknowledged_bytes(self) -> int:
        """Bytes taken from senders that Kafka has not acknowledged."""
        return self._queue.unacknowledged_bytes

    def state(self) -> KafkaState:
        """The last known state, without asking Kafka."""
        oldest = self._oldest_batch_age_s()
        if self._state.connected and oldest > self._policy.deadline_s:
            return KafkaState(False, f"Kafka answers but has not acknowledged a batch for {oldest:.0f} s")
        return self._state

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
        reason = self._state.detail or "it is slow"
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
        line = self._line
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

    async def _send(self, line: _Line, batch: OutgoingBatch, filled: FilledBatch, partition: int) -> None:
        try:
            offset = await batch.send(partition)
        except PublishUnavailableError as error:
            line.broken = True
            self._wake.set()
            filled.fail(error)
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

    def _oldest_batch_age_s(self) -> float:
        line = self._line
        return self._loop.time() - min(line.sent_at.values()) if line is not None and line.sent_at else 0.0

    def _stuck(self) -> bool:
        """Kafka has answered all the while, but a batch did not move: waiting longer will not help."""
        if self._answers_since is None:
            return False
        answering_s = self._loop.time() - self._answers_since
        return min(answering_s, self._oldest_batch_age_s()) > self._policy.stuck_after_s

    async def _watch(self) -> None:
        """Probes Kafka for ever, and opens a connection whenever the present one is missing, broken, stuck or worn."""
        while True:
            self._wake.clear()
            line = self._line
            pause_s = self._policy.probe_interval_s
            worn = line is not None and line.records >= self._policy.max_records_per_connection
            try:
                if line is None or line.broken or worn or self._stuck():
                    pause_s = self._policy.retry_interval_s
                    await self._replace()
                else:
                    async with asyncio.timeout(self._policy.probe_timeout_s):
                        line.grow(await line.connection.partitions())
                self._answered()
            except (PublishUnavailableError, TimeoutError) as error:
                self._unanswered(error)
            except Exception:
                log.exception("opening or probing a Kafka connection failed in an unforeseen way")
                self._unanswered(PublishUnavailableError("kafka_unavailable", "our own fault; the log has it"))
            if self._line is None or not self._line.broken:
                await self._pause(pause_s)
            else:
                await asyncio.sleep(self._policy.retry_interval_s)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _answered(self) -> None:
        if self._answers_since is None:
            self._answers_since = self._loop.time()
            log.info("Kafka answers")
        self._state = KafkaState(True)

    def _unanswered(self, error: Exception) -> None:
        self._answers_since = None
        detail = error.detail if isinstance(error, PublishUnavailableError) else "no answer in time"
        self._state = KafkaState(False, detail)
        log.warning("Kafka does not answer", extra={"detail": detail})

    async def _replace(self) -> None:
        """Opens a new connection, and only then lets go of the old one."""
        async with asyncio.timeout(self._policy.connect_timeout_s):
            connection = await self._connect()
            try:
                partitions = await connection.partitions()
            except BaseException:
                await connection.close(0.0)
                raise
        old, self._line = self._line, _Line(connection, partitions)
        if old is not None:
            log.warning("the Kafka producer was replaced", extra={"broken": old.broken, "records": old.records})
            task = self._loop.create_task(old.connection.close(self._policy.deadline_s))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._pump()

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
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        stopping = PublishUnavailableError("stopping", "this gateway stopped; the events may or may not be stored")
        for request in self._queue.drain():
            request.fail(stopping)
        if self._line is not None:
            await self._line.connection.close(max(0.0, deadline - self._loop.time()))
        await asyncio.gather(*self._sending, *self._retiring, return_exceptions=True)
