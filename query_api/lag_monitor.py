"""What is known of the lag, refreshed in the background: no query ever waits for Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from ingest_gateway.contract import unix_us
from query_api.completeness import UNKNOWN_LAG, Completeness, Lag, PartitionEnds, completeness
from query_api.kafka_consumer import KafkaUnavailableError
from query_api.lag import OldestUnstored, PartitionLag, Sample, TotalLag, When, partition_lags, total_lag
from query_api.positions import StoredUntil
from query_api.reading import PositionReader, QueryTimeoutError, StoredPosition, StoreUnavailableError

log = logging.getLogger(__name__)
REFRESH_INTERVAL_S: Final = 1.0
STALE_AFTER: Final = timedelta(seconds=3)
RATE_WINDOW_S: Final = 10.0


class LogEnds(Protocol):
    """What the monitor asks of Kafka. Both raise KafkaUnavailableError."""

    async def ends(self) -> PartitionEnds: ...
    async def appended_at(self, offsets: Mapping[int, int]) -> dict[int, tuple[int, datetime]]: ...


class LagReport(msgspec.Struct, frozen=True):
    """The lag as last known at `as_of`; when `stale`, `detail` says what could not be asked."""

    topic: str
    partitions: Sequence[PartitionLag]
    total: TotalLag | None
    complete_until: datetime | None
    as_of: datetime | None
    stale: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wall's time and a time that only grows."""

    now: Callable[[], datetime]
    monotonic_s: Callable[[], float]


class LagMonitor:
    """Keeps the last answers of Kafka and of PostgreSQL."""

    def __init__(self, topic: str, log_ends: LogEnds, positions: PositionReader, clocks: Clocks) -> None:
        self._topic = topic
        self._log_ends = log_ends
        self._position_reader = positions
        self._clocks = clocks
        self._ends: PartitionEnds | None = None
        self._positions: Sequence[StoredPosition] = ()
        self._positions_at: datetime | None = None
        # How many events lie between an answer of Kafka and one of PostgreSQL.
        self._behind: tuple[PartitionEnds, Sequence[StoredPosition], int] | None = None
        self._oldest: dict[int, OldestUnstored] = {}
        self._samples: deque[Sample] = deque()
        self._trouble: dict[str, str] = {}

    async def refresh(self) -> None:
        """Asks both once more, at once. What cannot be asked stays as it was known, and is said to be stale."""
        await asyncio.gather(self._ask_ends(), self.refresh_positions())
        await self._look_closer()

    async def refresh_ends(self) -> None:
        """Asks Kafka once more."""
        await self._ask_ends()
        await self._look_closer()

    async def refresh_positions(self) -> None:
        """Asks PostgreSQL once more; apart, so that a Kafka that is silent does not make workers look so."""
        try:
            self._positions = await self._position_reader.positions()
            self._positions_at = self._clocks.now()
            self._trouble.pop("postgres", None)
        except (StoreUnavailableError, QueryTimeoutError) as error:
            self._note("postgres", error)

    async def _ask_ends(self) -> None:
        try:
            self._ends = await self._log_ends.ends()
            self._trouble.pop("kafka", None)
        except KafkaUnavailableError as error:
            self._note("kafka", error)

    async def _look_closer(self) -> None:
        if not self._trouble and self._ends is not None and self._positions_at is not None:
            self._sample(self._ends)
            await self._look_at_oldest(self._ends)

    def _note(self, service: str, error: Exception) -> None:
        self._trouble[service] = str(error)
        log.warning("the lag cannot be refreshed", extra={"asked": service, "why": str(error)})

    def _sample(self, ends: PartitionEnds) -> None:
        now_s = self._clocks.monotonic_s()
        following = {position.partition: position.next_offset for position in self._positions}
        stored = {partition: following.get(partition, first) for partition, (first, _) in ends.offsets.items()}
        self._samples.append(Sample(now_s, {partition: end for partition, (_, end) in ends.offsets.items()}, stored))
        while now_s - self._samples[0].at_s > RATE_WINDOW_S:
            self._samples.popleft()

    async def _look_at_oldest(self, ends: PartitionEnds) -> None:
        """Fetches the append time of the first unstored record of each partition that lags, once for each offset."""
        stored = {position.partition: position.next_offset for position in self._positions}
        behind = {
            partition: stored.get(partition, first)
            for partition, (first, end) in ends.offsets.items()
            if stored.get(partition, first) < end
        }
        self._oldest = {
            partition: oldest
            for partition, oldest in self._oldest.items()
            if partition in behind and oldest.offset >= behind[partition]
        }
        wanted = {partition: offset for partition, offset in behind.items() if partition not in self._oldest}
        if not wanted:
            return
        try:
            for partition, (offset, moment) in (await self._log_ends.appended_at(wanted)).items():
                self._oldest[partition] = OldestUnstored(offset, moment)
        except KafkaUnavailableError as error:
            self._note("kafka", error)

    def partitions(self) -> frozenset[int] | None:
        """The partitions of the topic as far as anyone knows; None while nobody does."""
        known = {position.partition for position in self._positions} | set(self._ends.offsets if self._ends else ())
        return frozenset(known) or None

    def trouble_with_kafka(self) -> str | None:
        """Why Kafka does not answer; None while it does."""
        return self._trouble.get("kafka")

    def end_offsets(self) -> Mapping[int, int]:
        """Where each partition ended when that was last asked; empty while it is not known."""
        return {} if self._ends is None else {partition: end for partition, (_, end) in self._ends.offsets.items()}

    def completeness(self, stored_until_us: StoredUntil) -> Completeness:
        """How complete rows are that were read together with these positions."""
        return completeness(stored_until_us, self._ends)

    def lag(self) -> Lag:
        """The one line about lag that stands in every answer."""
        if self._ends is None or self._positions_at is None:
            return UNKNOWN_LAG
        # It changes with each look, and stands in each answer.
        if self._behind is None or self._behind[0] is not self._ends or self._behind[1] is not self._positions:
            entries = partition_lags(self._ends, self._positions, {}, When(self._ends.as_of, 0.0))
            self._behind = self._ends, self._positions, sum(entry.lag for entry in entries)
        return Lag(self._behind[2], self._as_of(), self._is_stale())

    def report(self) -> LagReport:
        """Everything that is known."""
        detail = "; ".join(self._trouble.values()) or None
        if detail is None and self._is_stale():
            detail = "no answer lately"
        if self._ends is None or self._positions_at is None:
            return LagReport(self._topic, (), None, None, None, stale=True, detail=detail)
        now = self._clocks.now()
        silence_s = (now - self._positions_at).total_seconds()
        entries = partition_lags(self._ends, self._positions, self._oldest, When(now, silence_s, self._samples))
        total = total_lag(entries, self._samples)
        complete = completeness({p.partition: unix_us(p.stored_until) for p in self._positions}, self._ends)
        return LagReport(
            self._topic,
            entries,
            total,
            complete.complete_until,
            self._as_of(),
            self._is_stale(),
            detail or complete.reason,
        )

    def _as_of(self) -> datetime | None:
        if self._ends is None or self._positions_at is None:
            return None
        return min(self._ends.as_of, self._positions_at)

    def _is_stale(self) -> bool:
        as_of = self._as_of()
        return bool(self._trouble) or as_of is None or self._clocks.now() - as_of > STALE_AFTER
