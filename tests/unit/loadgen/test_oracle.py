"""The oracle's file and its checks, without services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from loadgen.oracle_check import OracleCheck
from loadgen.oracle_events import Issued
from loadgen.oracle_file import OracleFile, State
from loadgen.query_client import Counts, Page, StoredEvent, TimeRange

RUN, START_MS = "run", 1_767_225_600_000


def event(number: int, sequence: int = 0, kind: str = "single") -> Issued:
    return Issued(RUN, number, 0, sequence, START_MS + number, kind)


def shown(issued: Issued) -> StoredEvent:
    """As the query API shows it."""
    moment = datetime.fromtimestamp(issued.unix_ms / 1000, UTC)
    attributes = msgspec.json.decode(issued.attributes)
    return StoredEvent(UUID(issued.identifier), moment, issued.severity, issued.source, issued.message, attributes)


class Listed:
    """A query API with these events."""

    def __init__(self, events: list[StoredEvent]) -> None:
        self.events = events

    async def page(self, within: TimeRange, source: str | None, limit: int, cursor: str | None) -> Page:  # noqa: ARG002
        first = int(cursor or 0)
        more = str(first + 2) if first + 2 < len(self.events) else None
        return Page(len(self.events), self.events[first : first + 2], more)

    async def counts(self, within: TimeRange) -> Counts:
        raise NotImplementedError

    async def event(self, identifier: str) -> StoredEvent | None:
        raise NotImplementedError


class Table:
    """A database with these rows and dead letters."""

    def __init__(self, rows: list[tuple[str, bytes]], dead: list[tuple[bytes, int]]) -> None:
        self.rows, self.letters = rows, dead

    async def stored(self, first_ms: int, last_ms: int, prefix: str) -> AsyncIterator[tuple[str, bytes]]:  # noqa: ARG002
        for row in self.rows:
            yield row

    async def dead(self, first_ms: int) -> AsyncIterator[tuple[bytes, int]]:  # noqa: ARG002
        for letter in self.letters:
            yield letter


@pytest.fixture
def file(tmp_path: Path) -> OracleFile:
    made = OracleFile(tmp_path / "ledger.sqlite")
    made.begin(RUN, 1, "")
    return made


def numbers(*, bad: bool) -> list[int]:
    """Numbers of events that can, or cannot, be stored."""
    return [number for number in range(2000) if event(number).bad is bad]


def test_about_one_event_in_a_hundred_cannot_be_stored() -> None:
    assert 5 <= len(numbers(bad=True)) <= 40


def test_an_acknowledgement_stays_one_and_survives_the_process(file: OracleFile, tmp_path: Path) -> None:
    events = [event(n) for n in range(3)]
    file.issue(events)
    file.place([(events[0], 1, 7)])
    file.settle(events[:2], State.UNKNOWN)
    file.close()
    counts = OracleFile(tmp_path / "ledger.sqlite").counts()
    assert (counts["acknowledged"], counts["unknown"], counts["issued"]) == (1, 1, 1)


async def broken(file: OracleFile, table: Table, api: Listed) -> dict[str, int]:
    """How many events break which checks."""
    return {r.name: r.broken for r in await OracleCheck(file, RUN).against(table, api) if r.broken}


async def test_everything_as_it_should_be_breaks_nothing(file: OracleFile) -> None:
    good, bad = [event(n) for n in numbers(bad=False)[:5]], event(numbers(bad=True)[0], kind="direct")
    file.issue([*good, bad])
    file.place([(found, 0, n) for n, found in enumerate([*good[:4], bad])])
    stored = [(found.identifier, found.content_hash()) for found in good[:4]]
    table = Table(stored, [(bad.body(), 1), (b"of another run", 3)])
    assert await broken(file, table, Listed([shown(found) for found in good[:4]])) == {}


async def test_each_violation_has_a_check_of_its_own(file: OracleFile) -> None:
    missing, twice, refused, altered = (event(n) for n in numbers(bad=False)[:4])
    bad = event(numbers(bad=True)[0], kind="direct")
    file.issue([missing, twice, refused, altered, bad])
    file.place([(missing, 0, 1), (twice, 0, 2), (altered, 0, 3), (bad, 0, 4)])
    file.settle([refused], State.REFUSED)
    foreign = event(5000)
    rows = [(found.identifier, found.content_hash()) for found in (twice, twice, refused, foreign)]
    table = Table([*rows, (altered.identifier, b"other")], [])
    listed = Listed([shown(found) for found in (twice, refused, foreign, altered)])
    assert await broken(file, table, listed) == {
        "acknowledged is in the table": 1,
        "the table is within issued": 1,
        "refused is not in the table": 1,
        "nothing is in the table twice": 1,
        "content is what was sent": 1,
        "bad records are dead letters": 1,
        "acknowledged is in the API": 1,
        "the API is within issued": 1,
        "API and table agree": 1,
    }


async def test_an_event_that_overtook_an_earlier_one_of_its_producer_breaks_the_order(file: OracleFile) -> None:
    first, second, third = (event(number, sequence=n) for n, number in enumerate(numbers(bad=False)[:3]))
    file.issue([first, second, third])
    # In one partition the second lies before the first; the third is in another one.
    file.place([(first, 0, 9), (second, 0, 8), (third, 1, 0)])
    results = await OracleCheck(file, RUN).against(None, Listed([shown(found) for found in (first, second, third)]))
    order = next(result for result in results if result.name == "order per producer is kept")
    assert (order.broken, order.first_ids) == (1, (first.identifier,))
    assert next(result.broken for result in results if result.name == "content is what was sent") is None
