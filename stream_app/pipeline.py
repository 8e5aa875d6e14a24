"""The path of a window: cut, prepare, store, tell Redis, acknowledge; and what happens when one of them cannot."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from stream_app.acknowledgements import Acknowledgements
from stream_app.alignment import Alignment
from stream_app.chunks import LOG_APPEND_TIME, Chunk
from stream_app.dead_letter_breaker import DeadLetterBreaker
from stream_app.fence import fence
from stream_app.outcomes import ConfigurationFaultError, OffsetsMovedError, Stored, Window
from stream_app.pipeline_parts import Parts, Policy
from stream_app.prepare import prepare_by_turns
from stream_app.progress import Progress
from stream_app.retry import Patience
from stream_app.windowing import Delivery, Windower

log = logging.getLogger(__name__)
DRAIN_TIMEOUT_S = 5.0


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
        self,
        policy: Policy,
        parts: Parts,
        randomness: random.Random,
        fail: Callable[[Exception], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._parts = parts
        self._fail = fail
        self._patience = Patience(policy.backoff, randomness, parts.figures.retried)
        self._windower = Windower(policy.batch_size, policy.batch_timeout_s, parts.buffered)
        self._progress = Progress()
        self._breaker = DeadLetterBreaker(policy.dead_letter_limit, parts.kafka, now_s, parts.figures.stopped)
        self.alignment = Alignment(self._progress, parts, self._breaker)
        self._acknowledgements = Acknowledgements()
        self._telling: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._next_is_cut = False
        self._draining = False

    @property
    def stored_offsets(self) -> Mapping[int, int]:
        """Partition -> next offset, as PostgreSQL last said."""
        return self._progress.stored

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
        self._progress.forget()
        self._breaker.forget()
        # Before anything is awaited: the last owner may have stored what it never told Redis.
        self._parts.mirror.mark_stale()
        try:
            stored = await self._patience.until_available(partial(self._parts.store.positions, beginnings))
        except Exception as error:
            # Never into Faust, which would end with a code of its own.
            self._fail(error)
            raise
        # Before Kafka is waited for: a window under way may move them meanwhile, and an older answer would then look
        # like a database that was set back.
        self.alignment.learn(stored)
        for partition, end in (await ends()).items():
            if stored[partition] > end:
                self._fail(TopicCutError(partition, stored[partition], end))
        await self._guarded(self._parts.lives.begin(stored.keys()))
        return stored

    async def deliver(self, chunk: Chunk, acknowledge: Callable[[], object]) -> None:
        """Takes one chunk; it is acknowledged once it is stored."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._guarded(self._read()), name="windows")
        if chunk.records[0].timestamp_type != LOG_APPEND_TIME:
            self._fail(_producers_time(chunk))
            return
        if not self._breaker.holds(chunk.partition) and self._progress.admits(chunk):
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
        await self._parts.lives.end()

    async def _read(self) -> None:
        """One window is prepared while the one before it is written."""
        while self._takes_more():
            deliveries = self._without_stopped(
                await self._windower.window(lambda: self._writing if self.is_writing else None)
            )
            if not deliveries:
                continue
            self._next_is_cut = True
            window = await self._prepared(deliveries, self._progress.expected)
            self._progress.cut(window.fenced.next_offsets)
            if self._writing is not None:
                await self._writing
            if not self._takes_more():
                return
            self._next_is_cut = False
            self._writing = asyncio.create_task(self._guarded(self._write(deliveries, window)), name="write")

    def _without_stopped(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """What came before its partition was stopped is read again later."""
        kept = [delivery for delivery in deliveries if not self._breaker.holds(delivery.chunk.partition)]
        for delivery in deliveries if len(kept) < len(deliveries) else ():
            if self._breaker.holds(delivery.chunk.partition):
                delivery.chunk.release()
        return kept

    def is_stopped(self, partition: int) -> bool:
        """Whether a partition is not read for its dead letters."""
        return self._breaker.holds(partition)

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

    async def _prepared(self, deliveries: Sequence[Delivery], offsets: Mapping[int, int]) -> Window:
        chunks = [delivery.chunk for delivery in deliveries]
        if unknown := {chunk.partition for chunk in chunks} - offsets.keys():
            found = await self._patience.until_available(partial(self.alignment.ask, unknown))
            offsets = {**offsets, **found}
        fenced = fence(chunks, offsets)
        losses = [await self._patience.until_available(partial(self.alignment.loss, hole)) for hole in fenced.holes]
        prepared = await prepare_by_turns(self._policy.topic, fenced.spans, self._policy.limits)
        if self._policy.word_filters is not None:
            prepared.word_filters = await self._policy.word_filters(prepared.rows)
        return Window(fenced, prepared, tuple(loss for loss in losses if loss is not None))

    async def _write(self, deliveries: Sequence[Delivery], window: Window) -> None:
        """Rule: stored, then Redis, then acknowledged. A failure in between repeats or skips nothing:

        1. Store. Away: wait and try again, for ever; Kafka keeps what waits. Offsets moved: cut anew and go on.
        2. Seek back where a partition's chunks began above what is stored (a rebalance, or the database was restored).
        3. Tell Redis. It takes absolute counts, so that a repeat changes nothing. Or put it off, with this window's
           acknowledgement and those of the windows after it, until several are told together.
        4. Acknowledge, so that Faust commits the offsets that lag monitors read.
        """
        stored: Stored | None = None
        while window.fenced.next_offsets and stored is None:
            try:
                stored = await self._patience.until_available(partial(self._store, window))  # 1
            except OffsetsMovedError as moved:
                window = await self._cut_anew(deliveries, window, moved.stored)
        for number, offset in window.fenced.behind.items():
            await self.alignment.seek(number, offset)  # 2
        # A window that held nothing new waits for those before it.
        told = not self._acknowledgements.any_wait
        if stored is not None:
            self._count(stored, window)
            self._breaker.note(window)
            told = await self._parts.mirror.apply(  # 3
                stored, window.fenced.appended_ms, more_waits=self._next_is_cut or self._windower.waits
            )
            # After Redis, since upkeep tells Redis by this how far it is whole.
            self._progress.confirm(window.fenced.next_offsets)
        for delivery in deliveries:
            delivery.chunk.release()
        self._acknowledgements.add(d for d in deliveries if d.chunk.partition not in window.fenced.behind)
        if told:
            self._acknowledgements.give(self._acknowledgements.mark)  # 4
        elif self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._guarded(self._tell_later()), name="tell")

    async def _cut_anew(self, deliveries: Sequence[Delivery], window: Window, stored: Mapping[int, int]) -> Window:
        """Also after a commit whose answer was lost: then everything falls below the fence."""
        self._parts.mirror.mark_stale()
        # Gone are those of a database restored to a time before it knew them.
        self.alignment.unlearn(window.fenced.starts.keys() - stored.keys())
        self.alignment.learn(stored)
        window = await self._prepared(deliveries, self._progress.stored)
        self._progress.cut_anew(window.fenced.next_offsets)
        return window

    async def _tell_later(self) -> None:
        await asyncio.sleep(self._policy.tell_within_s)
        await self._tell_now()

    async def _tell_now(self) -> None:
        if self._acknowledgements.any_wait:
            mark = self._acknowledgements.mark
            await self._parts.mirror.tell()  # 3
            self._acknowledgements.give(mark)  # 4

    async def _store(self, window: Window) -> Stored:
        await self._parts.days.ensure(window.prepared.days())
        return await self._parts.store.write(window)

    def _count(self, stored: Stored, window: Window) -> None:
        self._parts.figures.window_stored(stored, window)
        self.alignment.count_losses(window.losses)
        if stored.mostly_bad:
            log.error(
                "most of a window cannot be stored as events and went to dead_letters",
                extra={
                    "events": len(window.prepared.rows) + len(window.prepared.dead_letters),
                    "dead": stored.dead_letters,
                    "first": window.prepared.first_reason(),
                },
            )


def _producers_time(chunk: Chunk) -> ConfigurationFaultError:
    return ConfigurationFaultError(
        f"the record at offset {chunk.records[0].offset} of partition {chunk.partition} has its producer's time, not"
        " the broker's: `stored_until` would be false. `threatlog topics` sets message.timestamp.type=LogAppendTime;"
        " records from before that have to be deleted from the topic, or a new topic used"
    )
