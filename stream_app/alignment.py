"""Keeps what a worker believes of its partitions in line with PostgreSQL and Kafka, with and without records."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from stream_app.dead_letter_breaker import DeadLetterBreaker
from stream_app.fence import Fenced, Hole
from stream_app.outcomes import Loss, OffsetsMovedError, Window
from stream_app.pipeline_parts import Parts
from stream_app.prepare import Prepared
from stream_app.progress import Progress

log = logging.getLogger(__name__)


class Alignment:
    """PostgreSQL is believed; where a partition's reading does not follow on what it says, it is sought.

    Raises UnavailableError where PostgreSQL or Kafka is away: a window waits, upkeep says so and comes again.
    """

    def __init__(self, progress: Progress, parts: Parts, breaker: DeadLetterBreaker) -> None:
        self._progress = progress
        self._parts = parts
        self._breaker = breaker

    async def ask(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """What PostgreSQL says of these; one that it does not know starts where its log does."""
        starts = {number: await self._parts.kafka.log_start(number) for number in partitions}
        if not starts:
            return {}
        found = await self._parts.store.positions(starts)
        self.learn(found)
        return found

    def learn(self, found: Mapping[int, int]) -> None:
        """Takes what PostgreSQL says. Less than before: it was restored, and Redis was told what it no longer has."""
        if self._progress.learn(found):
            self._set_back()

    def unlearn(self, partitions: Iterable[int]) -> None:
        """PostgreSQL has no rows of these."""
        if self._progress.unlearn(partitions):
            self._set_back()

    def _set_back(self) -> None:
        log.error("PostgreSQL holds less than it did: it was set back, and is filled again from Kafka")
        self._parts.mirror.mark_set_back()

    async def seek(self, partition: int, offset: int) -> None:
        """Reads on from `offset`. Not in a rebalance: that ends with a seek of its own, to what PostgreSQL says."""
        if self._parts.kafka.settled() and self._progress.seek(partition, offset):
            log.warning("seeking", extra={"partition": partition, "offset": offset})
            await self._parts.kafka.seek(partition, offset)

    async def retry_stopped(self) -> None:
        """Reads partitions on that were stopped for their dead letters, where it is time to."""
        if self._parts.kafka.settled():
            await self._breaker.retry(self._progress.stored, self.seek)

    async def find_positions(self, assigned: Iterable[int]) -> None:
        """Asks for the positions that an assignment could not get, and reads on from there."""
        if self._parts.kafka.settled():
            unknown = [number for number in assigned if number not in self._progress.stored]
            for number, offset in (await self.ask(unknown)).items():
                await self.seek(number, offset)

    async def check_positions(self, before: Mapping[int, int], found: Mapping[int, int]) -> None:
        """Compares what was stored `before` with what PostgreSQL said later: less is a database that was set back."""
        if not self._parts.kafka.settled():
            return
        if gone := before.keys() - found.keys():
            self.unlearn(gone)
            found = {**found, **await self.ask(gone)}
        lower = {number: found[number] for number in before if found[number] < before[number]}
        self.learn(lower)
        for number, offset in lower.items():
            await self.seek(number, offset)

    async def pass_over(self, ends: Mapping[int, int]) -> None:
        """Moves the stored offset to the end of a partition where no record stands in between.

        What stands there are transactions' markers, aborted records, and what retention removed: that is counted as
        lost. It is a window without records, fenced like any other.
        """
        for number, (start, end) in self._parts.kafka.passed().items():
            stored = self._progress.stored.get(number, -1)
            if not start <= stored < end or end < ends.get(number, end + 1):
                continue
            loss = await self.loss(Hole(number, stored, end))
            losses = () if loss is None else (loss,)
            fenced = Fenced((), {number: stored}, {number: end}, {number: 0}, (), {})
            try:
                await self._parts.store.write(Window(fenced, Prepared(), losses))
            except OffsetsMovedError:
                # A window came first; what it did not cover is seen in the next round.
                continue
            self._progress.confirm(fenced.next_offsets)
            self.count_losses(losses)

    async def loss(self, hole: Hole) -> Loss | None:
        """What of a hole Kafka no longer has; the rest was never a record of ours."""
        start = await self._parts.kafka.log_start(hole.partition)
        return Loss(hole.partition, hole.start, min(start, hole.end)) if start > hole.start else None

    def count_losses(self, losses: tuple[Loss, ...]) -> None:
        """Counts and says what is committed as lost; one line, since lines of the same words are held back."""
        if losses:
            self._parts.figures.lost(losses)
            gaps = [f"partition {loss.partition}: {loss.start} to {loss.end}" for loss in losses]
            log.error("Kafka no longer had records that were not stored yet", extra={"gaps": gaps})
