"""The path of a window: cut, prepare, store, tell Redis, acknowledge; and what happens when one of them cannot."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from stream_app.chunks import Chunk
from stream_app.fence import Fenced, Hole, fence
from stream_app.outcomes import Loss, OffsetsMovedError, Stored, StoreUnavailableError, Window
from stream_app.pipeline_parts import Parts, Policy
from stream_app.prepare import prepare_by_turns
from stream_app.windowing import Delivery, Windower

T = TypeVar("T")
log = logging.getLogger(__name__)
DRAIN_TIMEOUT_S = 5.0
# From this share of dead letters on, a window is called out loudly: somebody upstream deployed something broken.
MOSTLY_BAD = 0.5


class TopicCutError(Exception):
    """The topic ends before what is stored of it; going on would drop its new records as if they were stored."""

    def __init__(self, partition: int, stored: int, end: int) -> None:
        super().__init__(
            f"partition {partition} is stored up to offset {stored} but ends at {end}: the topic was made anew or cut."
            " Use a new topic name, or delete its rows of consumer_offsets to store it from its beginning"
        )


class Pipeline:
    """One reader of chunks, one window being written; `write` ends in success or in the end of the process."""

    def __init__(
        self, policy: Policy, parts: Parts, randomness: random.Random, fail: Callable[[Exception], None]
    ) -> None:
        self._policy = policy
        self._parts = parts
        self._randomness = randomness
        self._fail = fail
        self._windower = Windower(policy.batch_size, policy.batch_timeout_s)
        self._stored: dict[int, int] = {}
        # The same as it will be once the window under way is stored: what the next window is cut for.
        self._expected: dict[int, int] = {}
        # Partition -> offset that was sought: chunks that begin elsewhere were fetched before the seek.
        self._seeking: dict[int, int] = {}
        self._unacknowledged: list[Delivery] = []
        self._telling: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._next_is_cut = False
        self._draining = False

    @property
    def stored_offsets(self) -> Mapping[int, int]:
        """Partition -> next offset, as of the last transaction of this worker."""
        return self._stored

    @property
    def is_writing(self) -> bool:
        """Whether a window is under way."""
        return self._writing is not None and not self._writing.done()

    @property
    def left_unfinished(self) -> bool:
        """Whether a window was begun that has not ended, also one that was given up with the event loop."""
        return self._writing is not None and (self._writing.cancelled() or not self._writing.done())

    async def start_positions(
        self, beginnings: Mapping[int, int], ends: Callable[[], Awaitable[Mapping[int, int]]]
    ) -> Mapping[int, int]:
        """Where the partitions just assigned start. Retries until PostgreSQL answers; an impossible one ends us.

        Kafka is asked for the ends after PostgreSQL for the offsets: until just now another worker may have stored.
        """
        self._windower.discard()
        self._seeking.clear()
        stored = await self._until_available(partial(self._parts.store.positions, beginnings))
        for partition, end in (await ends()).items():
            if stored[partition] > end:
                self._fail(TopicCutError(partition, stored[partition], end))
        self._stored, self._expected = dict(stored), dict(stored)
        self._parts.mirror.mark_stale()
        return stored

    async def deliver(self, chunk: Chunk, acknowledge: Callable[[], object]) -> None:
        """Takes one chunk; it is acknowledged once it is stored."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._guarded(self._read()), name="windows")
        sought = self._seeking.get(chunk.partition)
        if sought is not None:
            if chunk.position != sought:
                return
            del self._seeking[chunk.partition]
        self._windower.put(Delivery(chunk, acknowledge))

    def log_went_back(self, partition: int, position: int, offset: int) -> None:
        """The topic was made anew while we read it: its records would fall below the fence, so this ends us."""
        self._fail(TopicCutError(partition, position, offset))

    async def drain(self) -> None:
        """Lets the window under way end, within DRAIN_TIMEOUT_S, and takes no more."""
        self._draining = True
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=DRAIN_TIMEOUT_S)
        await self._tell_now()

    async def _read(self) -> None:
        """One window is prepared while the one before it is written."""
        while self._takes_more():
            deliveries = await self._windower.window(lambda: self._writing if self.is_writing else None)
            self._next_is_cut = True
            window = await self._prepared(deliveries, self._expected)
            self._expected.update(window.fenced.next_offsets)
            if self._writing is not None:
                await self._writing
            if not self._takes_more():
                return
            self._next_is_cut = False
            self._writing = asyncio.create_task(self._guarded(self._write(deliveries, window)), name="write")

    def _takes_more(self) -> bool:
        return not self._draining

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            if self._draining and asyncio.current_task() is self._reader:
                # What it prepares is not written any more, and Faust's consumer goes before it.
                return
            # Never into Faust: it would acknowledge what failed.
            self._fail(error)

    async def _prepared(self, deliveries: Sequence[Delivery], offsets: dict[int, int]) -> Window:
        chunks = [delivery.chunk for delivery in deliveries]
        unknown = {chunk.partition: chunk.position for chunk in chunks if chunk.partition not in offsets}
        if unknown:
            starts = {partition: await self._parts.kafka.log_start(partition) for partition in unknown}
            offsets.update(await self._until_available(partial(self._parts.store.positions, starts)))
        fenced = fence(chunks, offsets)
        losses = tuple([loss for hole in fenced.holes if (loss := await self._loss(hole)) is not None])
        prepared = await prepare_by_turns(self._policy.topic, fenced.spans, self._policy.limits)
        return Window(fenced, prepared, losses)

    async def _loss(self, hole: Hole) -> Loss | None:
        start = await self._parts.kafka.log_start(hole.partition)
        return Loss(hole.partition, hole.start, min(start, hole.end)) if start > hole.start else None

    async def _write(self, deliveries: Sequence[Delivery], window: Window) -> None:
        """Rule: stored, then Redis, then acknowledged. A failure in between repeats or skips nothing:

        1. Store. Away: wait and try again, for ever; Kafka keeps what waits. Offsets moved: cut anew and go on.
        2. Seek back where a partition's chunks began above what is stored (the database was restored).
        3. Tell Redis. It takes absolute counts, so that a repeat changes nothing.
        4. Acknowledge, so that Faust commits the offsets that lag monitors read.
        """
        stored: Stored | None = None
        told = True
        while window.fenced.next_offsets and stored is None:
            try:
                stored = await self._until_available(partial(self._store, window))  # 1
            except OffsetsMovedError as moved:
                # Also after a commit whose answer was lost: then everything falls below the fence.
                for partition in window.fenced.starts.keys() - moved.stored.keys():
                    # The database was restored to a time before it knew this partition.
                    self._stored.pop(partition, None)
                self._stored.update(moved.stored)
                self._parts.mirror.mark_stale()
                window = await self._prepared(deliveries, self._stored)
                self._expected = {**self._stored, **window.fenced.next_offsets}
        await self._seek_back(window.fenced)  # 2
        if stored is not None:
            self._count(stored, window)
            told = await self._parts.mirror.apply(  # 3
                stored, window.fenced.appended_ms, more_waits=self._next_is_cut or self._windower.waits
            )
            # After Redis, since upkeep tells Redis by this how far it is whole.
            self._stored.update(window.fenced.next_offsets)
        for delivery in deliveries:
            delivery.chunk.release()
        self._unacknowledged += [d for d in deliveries if d.chunk.partition not in window.fenced.behind]
        if told:
            for delivery in self._unacknowledged:
                delivery.acknowledge()  # 4
            self._unacknowledged.clear()
        elif self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._guarded(self._tell_later()), name="tell")

    async def _tell_later(self) -> None:
        await asyncio.sleep(self._policy.tell_within_s)
        await self._tell_now()

    async def _tell_now(self) -> None:
        put_off, self._unacknowledged = self._unacknowledged, []
        if put_off:
            await self._parts.mirror.tell()  # 3
            for delivery in put_off:
                delivery.acknowledge()  # 4

    async def _store(self, window: Window) -> Stored:
        await self._parts.days.ensure(window.prepared.days())
        return await self._parts.store.write(window)

    async def _seek_back(self, fenced: Fenced) -> None:
        for partition, offset in fenced.behind.items():
            if self._seeking.get(partition) != offset:
                log.warning("seeking back", extra={"partition": partition, "offset": offset})
                self._seeking[partition] = offset
                self._parts.mirror.mark_set_back()
                await self._parts.kafka.seek(partition, offset)

    def _count(self, stored: Stored, window: Window) -> None:
        self._parts.figures.window_stored(stored, window)
        if window.losses:
            self._parts.figures.lost(window.losses)
            for loss in window.losses:
                log.error(
                    "Kafka no longer had records that were not stored yet",
                    extra={"partition": loss.partition, "from_offset": loss.start, "to_offset": loss.end},
                )
        events = len(window.prepared.rows) + len(window.prepared.dead_letters)
        if stored.dead_letters and stored.dead_letters >= MOSTLY_BAD * events:
            log.error(
                "most of a window cannot be stored as events and went to dead_letters",
                extra={"events": events, "dead": stored.dead_letters, "first": window.prepared.first_reason()},
            )

    async def _until_available(self, work: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await work()
            except StoreUnavailableError as error:
                self._parts.figures.retried()
                log.warning(f"{error.trouble}; nothing is acknowledged until it is over", extra={"why": str(error)})
                await asyncio.sleep(self._policy.backoff.delay_s(attempt, self._randomness))
