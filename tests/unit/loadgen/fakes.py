"""A clock that moves when everybody waits, a target that answers by a script, and a query API over a list."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from loadgen.encode import EventEncoder, EventRange, rfc3339
from loadgen.ledger import RunLedger
from loadgen.outcome import Attempt, Fate, Outcome
from loadgen.query_client import Counts, Page, QueryFailedError, Remainder, StoredEvent, TimeRange

Result = TypeVar("Result")
START_UNIX_US = 1_790_000_000_000_000


class FakeClock:
    """Virtual seconds from 0; `run` moves them to the next sleeper whenever nothing else can go on."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._number = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_s(self) -> float:
        return self._now_s

    def unix_us(self) -> int:
        return START_UNIX_US + round(self._now_s * 1e6)

    async def sleep_until(self, moment_s: float) -> None:
        if moment_s <= self._now_s:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._sleepers, (moment_s, self._number, woken))
        await woken

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(30):
                await asyncio.sleep(0)
            if self._sleepers and not task.done():
                moment_s, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():
                    self._now_s = max(self._now_s, moment_s)
                    woken.set_result(None)
        return task.result()


class ScriptedSender:
    """Answers with `answers` in turn, the last one again and again, each after `takes_s` of the clock."""

    def __init__(self, clock: FakeClock, answers: Sequence[Attempt], takes_s: float = 0.0) -> None:
        self._clock = clock
        self._answers = list(answers)
        self._takes_s = takes_s
        self.sent: list[Sequence[bytes]] = []

    async def open(self) -> None: ...

    def pack(self, values: Sequence[bytes]) -> Sequence[bytes]:
        return tuple(values)

    async def attempt(self, packed: Sequence[bytes]) -> Attempt:
        answer = self._answers[min(len(self.sent), len(self._answers) - 1)]
        self.sent.append(packed)
        await self._clock.sleep_until(self._clock.now_s() + self._takes_s)
        return answer

    async def close(self) -> None: ...


def outcome(events: EventRange, fate: Fate = Fate.ACKED, **changes: Any) -> Outcome:
    """The end of a request that was due at 0 s, began at once and took 10 ms."""
    values: dict[str, Any] = {
        "events": events,
        "fate": fate,
        "code": "201",
        "intended_s": 0.0,
        "started_s": 0.0,
        "finished_s": 0.01,
        "acked_unix_us": START_UNIX_US + 10_000,
        "attempts": ("201",),
    }
    return Outcome(**{**values, **changes})


def stored(encoder: EventEncoder, ledger: RunLedger, number: int) -> StoredEvent:
    """Event `number` of a run, as the query API should show it."""
    event, unix_ms = encoder.templates.event(number), ledger.ms_of(number)
    return StoredEvent(
        UUID(encoder.identity.event_id(unix_ms, number)),
        datetime.fromisoformat(rfc3339(unix_ms)),
        event.severity,
        event.source,
        event.message,
        event.attributes,
    )


class ListReader:
    """A `LogReader` over a list. `complete_until` says up to when it is complete, asked for each page."""

    def __init__(self, events: Sequence[StoredEvent], complete_until: Callable[[], datetime | None]) -> None:
        self.events = list(events)
        self.complete_until = complete_until
        self.failing: Callable[[], bool] = lambda: False
        self.found_by_id: Callable[[UUID], bool] = lambda _identifier: True
        self.unlisted: set[UUID] = set()  # Found by id only.
        self.page_sizes: list[int] = []
        self.ranges: list[TimeRange] = []
        self.most_listed = 100  # Of the sources in an answer of counts.
        self.miscount: Counter[str] = Counter()  # Added to the counts of a source.

    async def page(self, within: TimeRange, source: str | None, limit: int, cursor: str | None) -> Page:
        self._fail()
        self.page_sizes.append(limit)
        self.ranges.append(within)
        until = self.complete_until()
        found = [event for event in self._within(within) if source in {None, event.source}]
        begin = int(cursor or 0)
        following = str(begin + limit) if begin + limit < len(found) else None
        return Page(len(found), found[begin : begin + limit], following, until)

    async def counts(self, within: TimeRange) -> Counts:
        self._fail()
        found = (Counter(event.source for event in self._within(within)) + self.miscount).most_common()
        others = found[self.most_listed :]
        return Counts(dict(found[: self.most_listed]), Remainder(len(others)), self.complete_until())

    def _within(self, within: TimeRange) -> list[StoredEvent]:
        assert within.first_ms <= within.last_ms
        begin, end = (moment(ms / 1000 - START_UNIX_US / 1e6) for ms in (within.first_ms, within.last_ms + 1))
        return [event for event in self.events if begin <= event.timestamp < end and event.id not in self.unlisted]

    def _fail(self) -> None:
        if self.failing():
            raise QueryFailedError("the query API is away")

    async def event(self, identifier: str) -> StoredEvent | None:
        self._fail()
        wanted = UUID(identifier)
        return next((e for e in self.events if e.id == wanted and self.found_by_id(wanted)), None)


def moment(seconds: float) -> datetime:
    """The wall-clock time when a `FakeClock` shows `seconds`."""
    return datetime.fromtimestamp(START_UNIX_US // 1_000_000, UTC) + timedelta(seconds=seconds)
