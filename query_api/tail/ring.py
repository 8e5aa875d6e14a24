"""The newest events of the topic, held once for everybody who tails: bounded memory, however slowly somebody reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from query_api.tail.live_event import LiveEvent
from query_api.tail.losses import Loss, SkippedSpan
from query_api.tail.vector import Vector

DEFAULT_MAX_COST_BYTES: Final = 64 << 20
_MUCH_BATCHES: Final = 16
_LOOK_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that a partition has before `next_offset` and after the batch before it, as far as it is events.

    With `moved` it has none: in Kafka the partition goes on elsewhere, after the `losses`, and may do so further back.
    """

    partition: int
    next_offset: int
    events: Sequence[LiveEvent] = ()
    moved: bool = False
    losses: Sequence[Loss] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    number: int
    batch: Batch
    cost_bytes: int


class RingReader:
    """One place in the ring. `positions` is the vector of what was done with, and so where a reconnect goes on."""

    def __init__(self, ring: EventRing, number: int, positions: Vector) -> None:
        self.positions = dict(positions)
        self.number = number
        self.woken = asyncio.Event()
        # Not while it waits for something to take, or for its client to take what was made of it.
        self.is_at_work = False
        self._ring = ring
        self._skipped = SkippedSpan()
        # Behind what was pushed out; not in `positions` before it was told.
        self._passed: dict[int, int] = {}

    def take(self) -> Batch | None:
        """The next batch; None while there is none. Whoever takes it moves `positions` behind it."""
        batch = self._ring.batch(self.number)
        if batch is None:
            self.woken.clear()
        else:
            self.number += 1
        return batch

    def take_skipped(self) -> list[Loss]:
        """What was pushed out before it could be taken, once; `positions` are behind it then."""
        self.positions.update(self._passed)
        self._passed.clear()
        return self._skipped.taken()

    async def wait(self, longest_s: float) -> None:
        """Returns when there may be something to take, or after so long."""
        self.is_at_work = False
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self.woken.wait()
        self.is_at_work = True

    def pass_over(self, batch: Batch) -> None:
        """The ring lets it go, and it was not taken."""
        position = self._passed.get(batch.partition, self.positions.get(batch.partition, 0))
        for loss in batch.losses:
            self._skipped.add_loss(loss)
        for event in batch.events:
            if event.offset >= position:
                self._skipped.add(event.identity.ts_us)
        self._passed[batch.partition] = max(0 if batch.moved else position, batch.next_offset)
        self.number += 1

    def leave(self) -> None:
        """Nothing more is wanted."""
        self._ring.forget(self)


class EventRing:
    """Batches in the order in which they were read, the oldest pushed out by new ones."""

    def __init__(self, max_cost_bytes: int = DEFAULT_MAX_COST_BYTES) -> None:
        self._max_cost_bytes = max_cost_bytes
        self._held: deque[_Held] = deque()
        self._cost_bytes = 0
        self._next_number = 0
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._readers: set[RingReader] = set()

    @property
    def ends(self) -> Vector:
        """Where each partition is read next; empty until it is known where they began."""
        return self._ends

    def begin(self, positions: Vector) -> None:
        """What is read from now on begins here. Known partitions go on where they are."""
        for partition, offset in positions.items():
            self._starts.setdefault(partition, offset)
            self._ends.setdefault(partition, offset)

    def append(self, batch: Batch) -> None:
        """Holds one more batch, and wakes who waits."""
        cost = sum(event.cost_bytes for event in batch.events)
        self._held.append(_Held(self._next_number, batch, cost))
        self._next_number += 1
        self._cost_bytes += cost
        self._ends[batch.partition] = batch.next_offset
        while self._cost_bytes > self._max_cost_bytes:
            self._push_out()
        for reader in self._readers:
            reader.woken.set()

    def _push_out(self) -> None:
        oldest = self._held.popleft()
        self._cost_bytes -= oldest.cost_bytes
        self._starts[oldest.batch.partition] = oldest.batch.next_offset
        for reader in self._readers:
            if reader.number == oldest.number:
                reader.pass_over(oldest.batch)

    def batch(self, number: int) -> Batch | None:
        """The batch with this number, which was not pushed out yet."""
        oldest = self._next_number - len(self._held)
        return self._held[number - oldest].batch if number < self._next_number else None

    def join_now(self) -> RingReader:
        """A reader of what comes from now on."""
        return self._joined(self._next_number, self._ends)

    def join_at(self, positions: Vector) -> RingReader | None:
        """A reader from these positions on; None where some of it is no longer held."""
        if any(positions.get(partition, 0) < start for partition, start in self._starts.items()):
            return None
        return self._joined(self._next_number - len(self._held), {**self._starts, **positions})

    def _joined(self, number: int, positions: Vector) -> RingReader:
        reader = RingReader(self, number, positions)
        self._readers.add(reader)
        return reader

    async def let_work(self, longest_s: float) -> None:
        """Waits, but not for long, while a reader has much to do that is not waiting for its client.

        Without this reading would outrun filters that cost more than decoding, and events be skipped that there is time
        to look at.
        """
        until_s = asyncio.get_running_loop().time() + longest_s
        while asyncio.get_running_loop().time() < until_s:
            if not any(map(self._has_much_to_do, self._readers)):
                return
            await asyncio.sleep(_LOOK_S)

    def _has_much_to_do(self, reader: RingReader) -> bool:
        return reader.is_at_work and self._next_number - reader.number > _MUCH_BATCHES

    def forget(self, reader: RingReader) -> None:
        """It reads no more."""
        self._readers.discard(reader)

    def clear(self) -> None:
        """Nobody reads: nothing is held or known any more."""
        self._held.clear()
        self._cost_bytes = 0
        self._starts.clear()
        self._ends.clear()
