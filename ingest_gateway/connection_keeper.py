"""Keeps one good connection to Kafka: opens it, probes it, and replaces it when it is broken, stuck or worn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ingest_gateway.log_connection import Line, LogConnection
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
    # A replaced connection may still finish its batches for this long.
    retire_s: float = 5.0
    # aiokafka 0.14 wraps a partition's sequence number to a negative one after 2**31 records, which Kafka refuses.
    max_records: int = 2_000_000_000


class ConnectionKeeper:
    """`line` is the present connection, None before the first; `on_new_line` is called when it changes."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[LogConnection]],
        policy: ConnectionPolicy,
        on_new_line: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._policy = policy
        self._on_new_line = on_new_line
        self._loop = asyncio.get_running_loop()
        self.line: Line | None = None
        self.state = KafkaState(False, "not connected to Kafka yet")
        self._answers_since: float | None = None
        self._wake = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()
        self._watcher = self._loop.create_task(self._watch())

    def report_broken(self, line: Line) -> None:
        """A batch was refused on `line`: nothing more may be sent there."""
        line.broken = True
        self._wake.set()

    def oldest_batch_age_s(self) -> float:
        """How long the oldest batch has been on its way; 0 when none is."""
        return self.line.oldest_batch_age_s(self._loop.time()) if self.line is not None else 0.0

    def _stuck(self) -> bool:
        """Kafka has answered all the while, but a batch did not move: waiting longer will not help."""
        if self._answers_since is None:
            return False
        answering_s = self._loop.time() - self._answers_since
        return min(answering_s, self.oldest_batch_age_s()) > self._policy.stuck_after_s

    async def _watch(self) -> None:
        """Probes Kafka for ever, and opens a connection whenever the present one is missing, broken, stuck or worn."""
        while True:
            self._wake.clear()
            line = self.line
            pause_s = self._policy.probe_interval_s
            worn = line is not None and line.records >= self._policy.max_records
            try:
                if line is None or line.broken or worn or self._stuck():
                    pause_s = self._policy.retry_interval_s
                    await self._replace()
                else:
                    async with asyncio.timeout(self._policy.probe_timeout_s):
                        partitions = await line.connection.partitions()
                    line.grow(partitions)
                    # Kafka never takes partitions away: the topic was made anew, and its sequence numbers with it.
                    if line.known - partitions:
                        self.report_broken(line)
                self._answered()
            except (PublishUnavailableError, TimeoutError) as error:
                self._unanswered(error)
            except Exception:
                log.exception("opening or probing a Kafka connection failed in an unforeseen way")
                self._unanswered(PublishUnavailableError("kafka_unavailable", "our own fault; the log has it"))
            if self.line is None or not self.line.broken:
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
        self.state = KafkaState(True)

    def _unanswered(self, error: Exception) -> None:
        self._answers_since = None
        detail = error.detail if isinstance(error, PublishUnavailableError) else "no answer in time"
        self.state = KafkaState(False, detail)
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
        old, self.line = self.line, Line(connection, partitions)
        if old is not None:
            log.warning("the Kafka producer was replaced", extra={"broken": old.broken, "records": old.records})
            task = self._loop.create_task(old.connection.close(self._policy.retire_s))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._on_new_line()

    async def stop(self) -> None:
        """Ends the probing; the present connection stays open."""
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)

    async def close(self, timeout_s: float) -> None:
        """Ends every connection, within about the time."""
        await self.stop()
        if self.line is not None:
            await self.line.connection.close(timeout_s)
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=timeout_s)
