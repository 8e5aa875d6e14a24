"""Looks for everything that was acknowledged through the query API, and for what must not be there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from loadgen.clock import Clock
from loadgen.encode import EventEncoder
from loadgen.ledger import Account
from loadgen.outcome import Fate
from loadgen.query_client import LogReader, Page, QueryFailedError, StoredEvent, TimeRange
from loadgen.verdict import Verdict

PAGE_ROWS: Final = 1000
_POLL_S: Final = 0.2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VerifyPolicy:
    """How thoroughly and how patiently a run is checked.

    Runs whose time range holds more than `exact_up_to` events are checked by counts and sample, if they have sources of
    their own (`own_sources`); all others id by id. `deadline_s` bounds the wait for `complete_until` and for answers.
    """

    own_sources: bool
    exact_up_to: int = 200_000
    sample: int = 500
    deadline_s: float = 120.0
    late_grace_s: float = 5.0


class Verification:
    """One check of one run.

    1. Wait until `complete_until` has passed the last acknowledgement.
    2. Compare: every stored event of the run's time range with the account, or totals by source and single ids.
    3. Ask once more, for a few seconds, for each acknowledged event that was missing.
    """

    def __init__(
        self,
        account: Account,
        encoder: EventEncoder,
        reader: LogReader,
        policy: VerifyPolicy,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._account: Final = account
        self._encoder: Final = encoder
        self._reader: Final = reader
        self._policy: Final = policy
        self._clock: Final = clock
        self._rng: Final = rng
        self._verdict = Verdict(acked=account.count(Fate.ACKED), unknown=account.count(Fate.UNKNOWN))
        self._give_up_s = 0.0

    async def run(self) -> Verdict:
        """Never raises for what the query API does: that is in the verdict."""
        verdict, started_s = self._verdict, self._clock.now_s()
        self._give_up_s = started_s + self._policy.deadline_s
        if not self._account.issued_events:
            verdict.method = "exact"
            return verdict
        within = TimeRange(*self._account.time_range_ms())
        try:
            first = await self._page(within, None, 1, None)
            verdict.waited_s = self._clock.now_s() - started_s
            if self._policy.own_sources and first.total > self._policy.exact_up_to:
                verdict.method = "counts and sample"
                await self._compare_counts(within)
                await self._compare_sample()
            else:
                verdict.method = "exact"
                await self._compare_exactly(within)
        except QueryFailedError as error:
            verdict.incomplete = f"Could not be verified: {error}"
        return verdict

    async def _page(self, within: TimeRange, source: str | None, limit: int, cursor: str | None) -> Page:
        """One page that holds everything acknowledged; the last one got, and a note, when none came in time."""
        needed = _EPOCH + timedelta(microseconds=self._account.last_acked_unix_us)
        while True:
            self._verdict.queries += 1
            failure: QueryFailedError | None = None
            try:
                page = await self._reader.page(within, source, limit, cursor)
            except QueryFailedError as error:
                failure = error
            else:
                if page.complete_until is not None and page.complete_until >= needed:
                    return page
            if self._clock.now_s() >= self._give_up_s:
                if failure is not None:
                    raise failure
                self._verdict.incomplete = (
                    f"complete_until stood at {page.complete_until} after {self._policy.deadline_s:g} s; "
                    f"the last acknowledgement came at {needed}"
                )
                return page
            await self._clock.sleep_until(self._clock.now_s() + _POLL_S)

    async def _compare_exactly(self, within: TimeRange) -> None:
        account, verdict = self._account, self._verdict
        seen = bytearray(account.issued_events)
        cursor: str | None = None
        while True:
            page = await self._page(within, None, PAGE_ROWS, cursor)
            for row in page.logs:
                self._check_row(row, seen)
            cursor = page.next_cursor
            if cursor is None:
                break
        verdict.stored = len(seen) - seen.count(0)
        verdict.unknown_stored = sum(
            end - begin - seen.count(0, begin, end) for begin, end in account.spans(Fate.UNKNOWN)
        )
        for fate in (Fate.REFUSED, Fate.NOT_TAKEN):
            for begin, end in account.spans(fate):
                for number in (n for n in range(begin, end) if seen[n]):
                    verdict.refused_but_stored.add(self._id_of(number))
        await self._look_again(list(_zeros(seen, account.spans(Fate.ACKED))))

    def _check_row(self, row: StoredEvent, seen: bytearray) -> None:
        number = self._encoder.identity.number_of(row.id)
        if number is None:
            return
        verdict, identifier = self._verdict, str(row.id)
        if number >= len(seen) or identifier != self._id_of(number):
            verdict.never_sent.add(identifier)
            return
        if seen[number]:
            verdict.twice.add(identifier)
            return
        seen[number] = 1
        self._check_content(row, number)

    def _check_content(self, row: StoredEvent, number: int) -> None:
        sent = self._encoder.templates.event(number)
        happened = _EPOCH + timedelta(milliseconds=self._account.ms_of(number))
        as_sent = (happened, sent.severity, sent.source, sent.message, sent.attributes)
        if (row.timestamp, row.severity, row.source, row.message, row.attributes or {}) != as_sent:
            self._verdict.altered.add(str(row.id))

    async def _look_again(self, numbers: list[int]) -> None:
        """Tells what is missing for good from what turns up within the grace; asks for at most 1,000 one by one."""
        until_s = self._clock.now_s() + self._policy.late_grace_s
        for place, number in enumerate(numbers):
            identifier = self._id_of(number)
            if place >= 1000 or not await self._appears(identifier, until_s):
                self._verdict.missing.add(identifier)
            else:
                self._verdict.found_late.add(identifier)

    async def _appears(self, identifier: str, until_s: float) -> bool:
        while True:
            self._verdict.queries += 1
            try:
                if await self._reader.event(identifier) is not None:
                    return True
            except QueryFailedError as error:
                if self._clock.now_s() >= self._give_up_s:
                    raise
                self._verdict.incomplete = f"Some answers were missing: {error}"
            if self._clock.now_s() >= until_s:
                return False
            await self._clock.sleep_until(self._clock.now_s() + _POLL_S)

    async def _compare_counts(self, within: TimeRange) -> None:
        verdict, templates = self._verdict, self._encoder.templates
        acked, unknown = list(self._account.spans(Fate.ACKED)), list(self._account.spans(Fate.UNKNOWN))
        for source in templates.sources:
            least = templates.count_of(source, acked)
            most = least + templates.count_of(source, unknown)
            total = await self._total_of(within, source, least)
            verdict.stored += total
            verdict.unknown_stored += min(max(total - least, 0), most - least)
            verdict.missing.add(None, max(least - total, 0))
            verdict.twice.add(None, max(total - most, 0))

    async def _total_of(self, within: TimeRange, source: str, least: int) -> int:
        """How many events of a source are stored, asked again for a few seconds while it is too few."""
        until_s, first_total = self._clock.now_s() + self._policy.late_grace_s, None
        while True:
            total = (await self._page(within, source, 1, None)).total
            first_total = total if first_total is None else first_total
            if total >= least or self._clock.now_s() >= until_s:
                self._verdict.found_late.add(None, min(total, least) - min(first_total, least))
                return total
            await self._clock.sleep_until(self._clock.now_s() + _POLL_S)

    async def _compare_sample(self) -> None:
        spans = list(self._account.spans(Fate.ACKED))
        sizes = [end - begin for begin, end in spans]
        chosen = self._rng.choices(spans, sizes, k=self._policy.sample) if spans else []
        absent: list[int] = []
        for number in sorted({self._rng.randrange(begin, end) for begin, end in chosen}):
            self._verdict.queries += 1
            row = await self._reader.event(self._id_of(number))
            if row is None:
                absent.append(number)
            else:
                self._check_content(row, number)
        already_counted = self._verdict.missing.count
        await self._look_again(absent)
        self._verdict.missing.count = max(already_counted, self._verdict.missing.count - already_counted)

    def _id_of(self, number: int) -> str:
        return self._encoder.identity.event_id(self._account.ms_of(number), number)


def _zeros(seen: bytearray, spans: Iterator[tuple[int, int]]) -> Iterator[int]:
    for begin, end in spans:
        number = seen.find(0, begin, end)
        while number >= 0:
            yield number
            number = seen.find(0, number + 1, end)
