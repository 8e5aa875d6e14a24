"""Compares stored events with the account one by one: lost, doubled, altered, invented, refused and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from loadgen.clock import Clock
from loadgen.encode import EventEncoder
from loadgen.ledger import Account
from loadgen.outcome import Fate
from loadgen.patient_reader import POLL_S, PatientReader
from loadgen.query_client import StoredEvent, TimeRange
from loadgen.verdict import Verdict

PAGE_ROWS: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_LOOKED_FOR: Final = 1000

NumbersOf = Callable[[Fate], Iterable[int]]


class IdCheck:
    """Reads ranges of time page by page; no two ranges may hold the same event."""

    def __init__(
        self, account: Account, encoder: EventEncoder, reader: PatientReader, clock: Clock, verdict: Verdict
    ) -> None:
        self._account: Final = account
        self._encoder: Final = encoder
        self._reader: Final = reader
        self._clock: Final = clock
        self._verdict: Final = verdict
        self._seen: Final = bytearray(account.issued_events)

    def seen(self, numbers: Iterable[int]) -> int:
        """How many of these were found."""
        return sum(self._seen[number] for number in numbers)

    async def compare(self, within: TimeRange, source: str | None, numbers_of: NumbersOf, late_grace_s: float) -> int:
        """Compares what is stored with `numbers_of` each fate, and returns how many events the answer counts.

        What is missing is asked for again, for `late_grace_s`, to tell what is lost from what is late.
        """
        total = await self._page_through(within, source)
        for fate in (Fate.REFUSED, Fate.NOT_TAKEN):
            for number in numbers_of(fate):
                if self._seen[number]:
                    self._verdict.refused_but_stored.add(self._id_of(number))
        missing = [number for number in numbers_of(Fate.ACKED) if not self._seen[number]]
        await self._look_again(missing, self._clock.now_s() + late_grace_s)
        return total

    async def _page_through(self, within: TimeRange, source: str | None) -> int:
        cursor: str | None = None
        while True:
            page = await self._reader.page(within, source, PAGE_ROWS, cursor)
            for row in page.logs:
                self._check(row)
            cursor = page.next_cursor
            if cursor is None:
                return page.total

    def _check(self, row: StoredEvent) -> None:
        number = self._encoder.identity.number_of(row.id)
        if number is None:
            return
        verdict, identifier = self._verdict, str(row.id)
        if number >= len(self._seen) or identifier != self._id_of(number):
            verdict.never_sent.add(identifier)
            return
        if self._seen[number]:
            verdict.twice.add(identifier)
            return
        self._seen[number] = 1
        verdict.compared_by_id += 1
        sent = self._encoder.templates.event(number)
        happened = _EPOCH + timedelta(milliseconds=self._account.ms_of(number))
        as_sent = (happened, sent.severity, sent.source, sent.message, sent.attributes)
        if (row.timestamp, row.severity, row.source, row.message, row.attributes or {}) != as_sent:
            verdict.altered.add(identifier)

    async def _look_again(self, numbers: list[int], until_s: float) -> None:
        """Tells what is missing for good from what turns up in time; asks for at most 1,000 one by one."""
        for place, number in enumerate(numbers):
            identifier = self._id_of(number)
            if place >= _MOST_LOOKED_FOR or not await self._appears(identifier, until_s):
                self._verdict.missing.add(identifier)
            else:
                self._verdict.found_late.add(identifier)

    async def _appears(self, identifier: str, until_s: float) -> bool:
        while await self._reader.event(identifier) is None:
            if self._clock.now_s() >= until_s:
                return False
            await self._clock.sleep_until(self._clock.now_s() + POLL_S)
        return True

    def _id_of(self, number: int) -> str:
        return self._encoder.identity.event_id(self._account.ms_of(number), number)
