"""Pages and counts of filters against a plain evaluation of every event, also in many slices and while rows come in."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import msgspec
import pytest

from ingest_gateway.contract import EPOCH, SEVERITY_CODES
from query_api.aggregation import HistogramRequest, TopRequest
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.parse import parse
from query_api.pagination import decode_cursor, encode_cursor
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.reading import EventPage, LoggedEvent, QueryTimeoutError
from query_api.scan import ScanPolicy
from query_api.search import Cursor, PageRequest, SearchFilter
from tests.filter_expressions import BETWEEN, WORDS
from tests.servers import Stack
from tests.stored_events import random_events, store_events

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

pytestmark = pytest.mark.integration

FIRST = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LAST = FIRST + timedelta(hours=30)
HOUR = timedelta(hours=1)
# A search that gives up after each slice, and one that hardly ever does.
HASTY, PATIENT = ScanPolicy(budget_s=0.0), ScanPolicy(budget_s=30.0)
FILTERS = (
    *("failed", "-failed", "root*", "*oo*", '"failed root"', "10.0.0.7", "/fail.*10/i", "/^root/", "ä OR _"),
    *("severity:HIGH failed", "severity:LOW OR root2", "-(severity>=HIGH x)", "source:source-1 x", "source:*-2 -x"),
    *("user:root", "n>=100", "n<5 OR user:*2", "ip:10.0.0.0/8", "tags:b", "user:* -tags:a", "absent:*", "nothingatall"),
    *("severity:HIGH", "source:source-*", "severity:HIGH -source:source-1", "severity<INFO", "*"),
)


def told(rng: random.Random, event: LoggedEvent) -> LoggedEvent:
    """The event with a message and attributes that filters can tell apart."""
    message = "".join(rng.choice(WORDS) + rng.choice(BETWEEN) for _ in range(rng.randint(0, 3)))
    attributes = {
        "user": rng.choice(["root", "Root", "root2", None]),
        "n": rng.randint(0, 200),
        "ip": rng.choice(["10.1.2.3", "11.1.2.3", "::1"]),
        "tags": rng.sample(["a", "b", "c"], rng.randint(0, 3)),
    }
    raw = msgspec.Raw(msgspec.json.encode(attributes)) if rng.random() < 0.8 else msgspec.UNSET
    return msgspec.structs.replace(event, message=message, attributes=raw)


def expected(events: list[LoggedEvent], wanted: SearchFilter) -> list[LoggedEvent]:
    """Newest first."""
    found = []
    for event in events:
        raw = None if isinstance(event.attributes, msgspec.UnsetType) else bytes(event.attributes).decode()
        candidate = Candidate(SEVERITY_CODES[event.severity], event.source, event.message, attributes_of(raw))
        if wanted.start <= event.timestamp < wanted.end and matches(wanted.expression, candidate):
            found.append(event)
    return sorted(found, key=lambda event: (event.timestamp, event.id.int), reverse=True)


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(stack.postgres_dsn)
    yield connection
    await connection.close()


def intervals(events: list[LoggedEvent], interval: timedelta) -> Counter[tuple[datetime, int]]:
    return Counter(
        (event.timestamp - (event.timestamp - EPOCH) % interval, SEVERITY_CODES[event.severity]) for event in events
    )


def users(events: list[LoggedEvent]) -> Counter[str]:
    found = [msgspec.json.decode(event.attributes) for event in events if isinstance(event.attributes, msgspec.Raw)]
    return Counter(attributes["user"] for attributes in found if attributes["user"] is not None)


class Readers:
    """Readers of one database, by how patient they are."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._made: list[PostgresReader] = []

    async def reader(self, policy: ScanPolicy, statement_timeout_s: float = 20.0) -> PostgresReader:
        made = await connections(self._stack.postgres_of("query"), statement_timeout_s)
        reader = PostgresReader(made, self._stack.settings.kafka.topic, ReaderMemory.empty(time.monotonic), policy)
        self._made.append(reader)
        return reader

    async def close(self) -> None:
        for reader in self._made:
            await reader.close(5.0)


@pytest.fixture
async def readers(stack: Stack) -> AsyncIterator[Readers]:
    made = Readers(stack)
    yield made
    await made.close()


def next_request(request: PageRequest, page: EventPage) -> PageRequest:
    """As a client sends it: the cursor of an answer is text."""
    if page.scanned_until is not None:
        cursor = Cursor(page.scanned_until, UUID(int=0), page.total, None)
    else:
        cursor = Cursor(page.events[-1].timestamp, page.events[-1].id, page.total, None)
    sent = encode_cursor(cursor, request.filter)
    return PageRequest(request.filter, request.limit, cursor=decode_cursor(sent, request.filter))


async def walked(reader: PostgresReader, request: PageRequest) -> tuple[list[LoggedEvent], list[EventPage]]:
    """All events of a request, and its pages."""
    pages = [await reader.page(request)]
    while pages[-1].has_more:
        request = next_request(request, pages[-1])
        pages.append(await reader.page(request))
    return [event for page in pages for event in page.events], pages


async def test_pages_and_counts_are_those_of_a_plain_evaluation(connection: Connection, readers: Readers) -> None:
    rng = random.Random(3)
    events = [told(rng, event) for event in random_events(rng, 3000, FIRST, LAST)]
    # Hours that are searched by word filters, and others.
    since = FIRST + timedelta(hours=12)
    await store_events(connection, [event for event in events if event.timestamp < since], word_filters=False)
    await store_events(connection, [event for event in events if event.timestamp >= since])
    hasty, patient = await readers.reader(HASTY), await readers.reader(PATIENT)
    for text in FILTERS:
        start = FIRST + (LAST - FIRST) * rng.choice([0.0, 0.2]) * rng.random()
        wanted = SearchFilter(start, LAST - timedelta(seconds=rng.randint(0, 9000)), expression=parse(text))
        found = expected(events, wanted)
        whole = await patient.page(PageRequest(wanted, 1000))
        assert list(whole.events) == found[:1000], text
        assert (whole.has_more, whole.scanned_until) == (len(found) > 1000, None), text
        assert whole.total == (len(found) if len(found) <= 1000 or not wanted.reads_events else None), text
        for reader in (hasty, patient):
            seen, pages = await walked(reader, PageRequest(wanted, 83))
            assert seen == found, text
            assert all(len(page.events) == 83 or page.scanned_until or not page.has_more for page in pages), text
        counts = await patient.stats(wanted)
        assert (counts.total, counts.scanned_until) == (len(found), None), text
        assert dict(counts.by_source) == Counter(event.source for event in found), text
        assert {n: c for n, c in counts.by_severity.items() if c} == Counter(event.severity for event in found), text
        interval = timedelta(minutes=rng.choice([1, 5, 60, 1440]))
        histogram = await patient.histogram(HistogramRequest(wanted, interval, "severity"))
        assert histogram.cells == intervals(found, interval), text
        values = await patient.top(TopRequest(wanted, Attribute(("user",)), 10))
        assert dict(values.values) == users(found), text
        price = await patient.price(wanted)
        assert price.matching_at_most >= len(found), text
        assert price.to_read == 0 or price.to_read >= len(found), text


async def test_counts_that_took_too_long_are_exact_down_to_where_they_came(
    connection: Connection, readers: Readers
) -> None:
    rng = random.Random(4)
    events = [told(rng, event) for event in random_events(rng, 6000, FIRST, LAST)]
    await store_events(connection, events)
    wanted = SearchFilter(FIRST, LAST, expression=parse("root"))
    counts = await (await readers.reader(HASTY)).stats(wanted)
    assert counts.scanned_until is not None
    assert FIRST < counts.scanned_until < LAST
    newer = SearchFilter(counts.scanned_until, LAST, expression=wanted.expression)
    assert counts.total == len(expected(events, newer))


@pytest.mark.parametrize("policy", [HASTY, PATIENT])
async def test_pages_hold_everything_once_while_rows_come_in(
    stack: Stack, connection: Connection, readers: Readers, policy: ScanPolicy
) -> None:
    rng = random.Random(5)
    before = [told(rng, event) for event in random_events(rng, 3000, FIRST, LAST)]
    await store_events(connection, before)
    wanted = SearchFilter(FIRST, LAST + timedelta(hours=1), expression=parse("root OR user:root2"))

    async def keep_adding() -> None:
        adding = await asyncpg.connect(stack.postgres_dsn)
        try:
            while True:
                await store_events(adding, [told(rng, event) for event in random_events(rng, 20, FIRST, LAST)])
        finally:
            adding.terminate()

    added = asyncio.create_task(keep_adding())
    seen, _ = await walked(await readers.reader(policy), PageRequest(wanted, 20))
    added.cancel()
    await asyncio.wait([added])
    keys = [(event.timestamp, event.id) for event in seen]
    assert keys == sorted(set(keys), reverse=True)
    assert {event.id for event in expected(before, wanted)} <= {event.id for event in seen}


async def test_an_expression_that_takes_too_long_ends_in_time(connection: Connection, readers: Readers) -> None:
    """What was looked at before is a page; where nothing was, it is said so."""
    rng = random.Random(6)
    quick = [told(rng, event) for event in random_events(rng, 3000, LAST - timedelta(hours=2), LAST)]
    costly = [
        msgspec.structs.replace(event, message="ab" * 120_000)
        for event in random_events(rng, 1000, FIRST, FIRST + HOUR)
    ]
    await store_events(connection, quick + costly)
    reader = await readers.reader(ScanPolicy(budget_s=20.0, slice_s=0.5))
    expression = parse(r"/(a|b|ab)*(ab){200}c(a|b){200}\d|^root/")
    started_s = time.monotonic()
    wanted = SearchFilter(FIRST, LAST + HOUR, expression=expression)
    page = await reader.page(PageRequest(wanted, 1000))
    # On a slow machine not all of the quick ones were looked at either.
    found = expected(quick, SearchFilter(FIRST, LAST + HOUR, expression=parse("/^root/")))
    assert list(page.events) == found[: len(page.events)]
    assert page.scanned_until is not None
    assert len(page.events) == sum(event.timestamp >= page.scanned_until for event in found)
    assert page.has_more
    with pytest.raises(QueryTimeoutError):
        await reader.page(PageRequest(SearchFilter(FIRST, FIRST + 2 * HOUR, expression=expression)))
    assert time.monotonic() - started_s < 20
