"""A pipeline on fakes, with one journal of what happened in which order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from stream_app.chunks import MAX_WINDOW_BYTES, BufferedEvents, Chunk
from stream_app.outcomes import Loss, Stored, Window
from stream_app.pipeline import Pipeline
from stream_app.pipeline_parts import Parts, Policy
from stream_app.retry import Backoff
from tests.fakes.kafka_records import LIMITS, TOPIC
from tests.fakes.memory_store import MemoryStore

Journal = list[str]
DEADLINE_S = 5.0


@dataclass
class JournalledStore(MemoryStore):
    """A store that notes each commit, and can hold one up."""

    journal: Journal = field(default_factory=list)
    gate: asyncio.Event | None = None
    on_write: Callable[[], None] = lambda: None

    async def write(self, window: Window) -> Stored:
        self.on_write()
        if self.gate is not None:
            self.journal.append("writing")
            await self.gate.wait()
        stored = await super().write(window)
        self.journal.append(f"store {sorted(window.fenced.next_offsets.items())}")
        return stored


@dataclass
class FakeDays:
    """Day partitions that note what is asked for."""

    asked: list[set[int]] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)

    async def ensure(self, days: set[int]) -> None:
        self.asked.append(days)
        if self.troubles:
            raise self.troubles.pop(0)


@dataclass
class FakeMirror:
    """A mirror that notes when it is told; `tells` says whether it was told, or keeps it for the next window."""

    journal: Journal
    told: list[Stored] = field(default_factory=list)
    until: list[Mapping[int, int]] = field(default_factory=list)
    stale: int = 0
    set_back: int = 0
    tells: Callable[[bool], bool] = lambda _: True

    async def apply(self, stored: Stored, until_ms: Mapping[int, int], *, more_waits: bool) -> bool:
        self.told.append(stored)
        self.until.append(until_ms)
        self.journal.append("mirror")
        return self.tells(more_waits)

    async def tell(self) -> None:
        self.journal.append("tell")

    def mark_stale(self) -> None:
        self.stale += 1

    def mark_set_back(self) -> None:
        self.set_back += 1


@dataclass
class FakeLog:
    """Kafka's side: where each partition begins, and the seeks that were asked for."""

    journal: Journal
    starts: dict[int, int] = field(default_factory=dict)
    seeks: list[tuple[int, int]] = field(default_factory=list)
    read_past: dict[int, tuple[int, int]] = field(default_factory=dict)
    troubles: list[Exception] = field(default_factory=list)
    rebalancing: bool = False

    def settled(self) -> bool:
        return not self.rebalancing

    def pause(self, partition: int) -> None:
        self.journal.append(f"pause {partition}")

    def resume(self, partition: int) -> None:
        self.journal.append(f"resume {partition}")

    def passed(self) -> dict[int, tuple[int, int]]:
        return self.read_past

    async def log_start(self, partition: int) -> int:
        if self.troubles:
            raise self.troubles.pop(0)
        return self.starts.get(partition, 0)

    async def seek(self, partition: int, offset: int) -> None:
        self.seeks.append((partition, offset))
        self.journal.append(f"seek {partition}:{offset}")


@dataclass
class FakeLives:
    """Notes what is begun and that it ended."""

    journal: Journal
    trouble: Exception | None = None

    async def begin(self, partitions: Collection[int]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.journal.append(f"begin {sorted(partitions)}")

    async def end(self) -> None:
        self.journal.append("end")


@dataclass
class FakeFigures:
    """Counts what the pipeline reports."""

    stored: list[Stored] = field(default_factory=list)
    retries: int = 0
    away: set[str] = field(default_factory=set)
    losses: list[Loss] = field(default_factory=list)
    stopped_partitions: int = 0

    def window_stored(self, stored: Stored, window: Window) -> None:  # noqa: ARG002
        self.stored.append(stored)

    def retried(self, dependency: str) -> None:
        self.retries += 1
        self.away.add(dependency)

    def lost(self, losses: Sequence[Loss]) -> None:
        self.losses += losses

    def stopped(self, partitions: int) -> None:
        self.stopped_partitions = partitions


class Bench:
    """A pipeline, its parts, and what it did."""

    def __init__(
        self,
        batch_size: int = 100,
        batch_timeout_s: float = 0.01,
        max_window_bytes: int = MAX_WINDOW_BYTES,
        tell_within_s: float = 0.01,
        dead_letter_limit: int = 0,
    ) -> None:
        self.now_s = 0.0
        self.journal: Journal = []
        self.store = JournalledStore(journal=self.journal)
        self.days = FakeDays()
        self.mirror = FakeMirror(self.journal)
        self.log = FakeLog(self.journal)
        self.figures = FakeFigures()
        self.failures: list[Exception] = []
        self.acknowledged: list[tuple[int, int]] = []
        policy = Policy(
            TOPIC,
            batch_size,
            batch_timeout_s,
            LIMITS,
            Backoff(0.001, 0.002),
            tell_within_s,
            dead_letter_limit,
        )
        buffered = BufferedEvents()
        buffered.max_window_bytes = max_window_bytes
        self.lives = FakeLives(self.journal)
        parts = Parts(self.store, self.days, self.mirror, self.log, self.lives, self.figures, buffered)
        self.pipeline = Pipeline(policy, parts, random.Random(1), self.failures.append, lambda: self.now_s)

    async def start(self, **stored: int) -> None:
        """Partitions p0, p1, … are assigned with these offsets stored."""
        offsets = {int(name[1:]): offset for name, offset in stored.items()}
        self.store.offsets.update(offsets)

        async def ends() -> dict[int, int]:
            self.journal.append("ends")
            return dict.fromkeys(offsets, 1_000_000)

        await self.pipeline.start_positions(offsets, ends)
        self.journal.clear()

    async def deliver(self, *chunks: Chunk) -> None:
        for item in chunks:
            await self.pipeline.deliver(item, partial(self._acknowledge, item.partition, item.next_offset))

    def _acknowledge(self, partition: int, next_offset: int) -> None:
        self.acknowledged.append((partition, next_offset))
        self.journal.append(f"ack {partition}:{next_offset}")

    @property
    def stored_offsets_of_rows(self) -> list[tuple[int, int]]:
        return sorted((row.partition, row.record.offset) for row in self.store.logs.values())


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Waits for a condition, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0.001)


async def quiet(rounds: int = 50) -> None:
    """Lets everything that is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)
