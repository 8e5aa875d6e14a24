"""Keeps one good connection to Kafka: opens it, probes it, and replaces it when it is broken, stuck or worn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ingest_gateway.log_connection import LogConnection, TopicPartitions, TrackedConnection
from ingest_gateway.publishing import KafkaState, PublishUnavailableError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionPolicy:
    """When a connection is probed, and when it is replaced."""

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 2.0
    connect_timeout_s: float = 5.0
    retry_interval_s: float = 0.5
    # Kafka answers, yet a batch is this old: the producer is stuck and is replaced.
    stuck_after_s: float = 10.0
    # Kafka acknowledged nothing before the connection was replaced, and since then nothing was sent for this long: the
    # gateway calls itself ready again, for without requests it would never learn that Kafka acknowledges.
    quiet_s: float = 10.0
    # A replaced connection may still finish its batches for this long.
    retire_s: float = 5.0
    # aiokafka 0.14 wraps a partition's sequence number to a negative one after 2**31 records, which Kafka refuses.
    max_records: int = 2_000_000_000


class ConnectionKeeper:
    """`current` is the present connection, None before the first; `on_room` is called when it may have become idle."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[LogConnection]],
        policy: ConnectionPolicy,
        on_room: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._policy = policy
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        self.current: TrackedConnection | None = None
        self.state = KafkaState(False, "not connected to Kafka yet")
        self._answers_since: float | None = None
        self._no_answer_since: float | None = self._loop.time()
        # An earlier connection was given up: since then Kafka has acknowledged nothing, and was last asked to.
        self._unproven_since: float | None = None
        self._asked_at = 0.0
        self._wake = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()
        self._watcher = self._loop.create_task(self._watch())

    def sending(self, connection: TrackedConnection, records: int) -> int:
        """A batch of so many records is sent now; the partition for it."""
        self._asked_at = self._loop.time()
        return connection.take_partition(self._asked_at, records)

    def acknowledged(self, connection: TrackedConnection, partition: int) -> None:
        """A batch is safe: Kafka acknowledges, whichever connection it was."""
        connection.acknowledged(partition, self._loop.time())
        self._unproven_since = None

    def refused(self, connection: TrackedConnection, partition: int) -> None:
        """A batch failed: its connection is replaced, and Kafka has still to show that it acknowledges."""
        if connection is self.current and self._unproven_since is None:
            silent_since = connection.silent_since()
            self._unproven_since = self._asked_at if silent_since is None else silent_since
        connection.failed(partition)
        self._wake.set()

    def silent_s(self) -> float:
        """How long Kafka was asked for acknowledgements and gave none, over all connections; 0 when nothing is owed."""
        awaited_since = self.current.silent_since() if self.current is not None else None
        if self._unproven_since is not None:
            until = self._asked_at if awaited_since is None else self._loop.time()
            return until - self._unproven_since
        return 0.0 if awaited_since is None else self._loop.time() - awaited_since

    def outage_s(self) -> float:
        """How long Kafka has not answered or not acknowledged; 0 when it does both."""
        unanswered_s = 0.0 if self._no_answer_since is None else self._loop.time() - self._no_answer_since
        return max(unanswered_s, self.silent_s())

    def _stuck(self, connection: TrackedConnection) -> bool:
        """Kafka has answered all the while, but a batch did not move: waiting longer will not help."""
        oldest_at = connection.oldest_batch_at()
        if self._answers_since is None or oldest_at is None:
            return False
        return self._loop.time() - max(self._answers_since, oldest_at) > self._policy.stuck_after_s

    async def _watch(self) -> None:
        """Probes Kafka for ever, and opens a connection whenever the present one is missing, broken, stuck or worn."""
        while True:
            self._wake.clear()
            connection = self.current
            pause_s = self._policy.probe_interval_s
            try:
                if connection is None or self._to_be_replaced(connection):
                    pause_s = self._policy.retry_interval_s
                    await self._replace()
                else:
                    await self._probe(connection)
                self._answered()
            except (PublishUnavailableError, TimeoutError) as error:
                self._unanswered(error)
            except Exception:
                log.exception("opening or probing a Kafka connection failed in an unforeseen way")
                self._unanswered(PublishUnavailableError("kafka_unavailable", "our own fault; the log has it"))
            if self.current is None or not self.current.broken:
                await self._pause(pause_s)
            else:
                await asyncio.sleep(self._policy.retry_interval_s)

    def _to_be_replaced(self, connection: TrackedConnection) -> bool:
        return connection.broken or connection.records >= self._policy.max_records or self._stuck(connection)

    async def _probe(self, connection: TrackedConnection) -> None:
        async with asyncio.timeout(self._policy.probe_timeout_s):
            partitions = await connection.connection.partitions()
        connection.follow(partitions, self._loop.time())
        # Kafka never takes partitions away: the topic was made anew, and its sequence numbers with it.
        if connection.existing - partitions.existing:
            connection.broken = True
        _require_leader(partitions)
        quiet_s = self._loop.time() - self._asked_at
        if self._unproven_since is not None and connection.silent_since() is None and quiet_s > self._policy.quiet_s:
            self._unproven_since = None
        self._on_room()

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _answered(self) -> None:
        if self._answers_since is None:
            self._answers_since = self._loop.time()
            self._no_answer_since = None
            log.info("Kafka answers")
        self.state = KafkaState(True)

    def _unanswered(self, error: Exception) -> None:
        self._answers_since = None
        if self._no_answer_since is None:
            self._no_answer_since = self._loop.time()
        detail = error.detail if isinstance(error, PublishUnavailableError) else "no answer in time"
        self.state = KafkaState(False, detail)
        log.warning("Kafka does not answer", extra={"detail": detail, "cause": repr(error.__cause__)})

    async def _replace(self) -> None:
        """Opens a new connection, and only then lets go of the old one."""
        async with asyncio.timeout(self._policy.connect_timeout_s):
            connection = await self._connect()
            try:
                partitions = await connection.partitions()
                _require_leader(partitions)
            except BaseException:
                await connection.close(0.0)
                raise
        old, self.current = self.current, TrackedConnection(connection, partitions)
        if old is not None:
            self._retire(old)
        self._on_room()

    def _retire(self, old: TrackedConnection) -> None:
        log.warning("the Kafka producer was replaced", extra={"broken": old.broken, "records": old.records})
        silent_since = old.silent_since()
        if silent_since is not None:
            # Nothing of this is made good by opening another connection, only by an acknowledgement.
            self._asked_at = self._loop.time()
            if self._unproven_since is None:
                self._unproven_since = silent_since
        task = self._loop.create_task(old.connection.close(self._policy.retire_s))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def stop(self) -> None:
        """Ends the probing; the present connection stays open."""
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)

    async def close(self, timeout_s: float) -> None:
        """Ends every connection, within about the time."""
        await self.stop()
        if self.current is not None:
            await self.current.connection.close(timeout_s)
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=timeout_s)


def _require_leader(partitions: TopicPartitions) -> None:
    if not partitions.led:
        raise PublishUnavailableError("kafka_unavailable", "no partition of the topic has a leader")
