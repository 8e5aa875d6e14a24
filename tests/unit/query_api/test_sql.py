"""SQL texts: what a client sends is only ever an argument."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest

from query_api import source_sql, sql
from query_api.search import Cursor, PageRequest, SearchFilter
from query_api.statement import Statement
from query_api.timeline import HOUR, MINUTE, Window, pieces
from tests.unit.query_api.builders import NOON, search_filter

HOSTILE = "x'; DROP TABLE logs; --"
CURSOR = Cursor(NOON + timedelta(minutes=5), UUID(int=1), 3, None)
WITHIN = Window(NOON, NOON + HOUR)


def statements(wanted: SearchFilter) -> list[Statement]:
    cut = pieces(wanted.start, wanted.end)
    first, later = PageRequest(wanted, offset=7), PageRequest(wanted, cursor=CURSOR)
    return [
        sql.total(wanted, cut, HOSTILE),
        source_sql.stats(wanted, cut, HOSTILE),
        source_sql.severities(wanted, cut, HOSTILE),
        source_sql.by_source(wanted, cut),
        source_sql.hours_now(cut[0], HOSTILE),
        sql.page(first),
        sql.page(later),
        sql.page_within(first, [WITHIN]),
        sql.page_within(later, [WITHIN]),
        sql.matching_buckets(wanted, HOUR, [WITHIN], WITHIN, 10),
        sql.event(UUID(int=1), NOON, NOON + HOUR),
        sql.events([(NOON, UUID(int=1))]),
        sql.recent(NOON, 10),
        sql.stored_until(HOSTILE),
        sql.positions(HOSTILE),
        sql.report(HOSTILE, "query", NOON, HOSTILE),
        sql.FOREIGN_ID_HOURS,
        sql.SOURCE_INDEXED,
    ]


@pytest.mark.parametrize("severities", [(), (4,), (1, 4)])
@pytest.mark.parametrize("source", [None, HOSTILE])
def test_nothing_a_client_sends_stands_in_the_text(severities: tuple[int, ...], source: str | None) -> None:
    for statement in statements(search_filter(severities=severities, source=source)):
        assert "DROP" not in statement.text
        assert "2024" not in statement.text


@pytest.mark.parametrize("severities", [(), (4,), (1, 4)])
@pytest.mark.parametrize("source", [None, HOSTILE])
def test_every_argument_is_used_and_none_is_missing(severities: tuple[int, ...], source: str | None) -> None:
    for statement in statements(search_filter(severities=severities, source=source)):
        used = {int(number) for number in re.findall(r"\$(\d+)", statement.text)}
        assert used == set(range(1, len(statement.arguments) + 1)), statement.text


@pytest.mark.parametrize("severities", [(), (4,), (1, 4)])
def test_without_source_nothing_counted_by_source_is_read(severities: tuple[int, ...]) -> None:
    """So a total costs the same with any number of sources."""
    wanted = search_filter(start=NOON - timedelta(days=1, seconds=90), severities=severities)
    cut = pieces(wanted.start, wanted.end)
    for statement in (
        sql.total(wanted, cut, "t"),
        sql.matching_buckets(wanted, HOUR, [WITHIN], WITHIN, 10),
        sql.matching_buckets(wanted, MINUTE, [WITHIN], WITHIN, 10),
    ):
        assert "log_count_" in statement.text
        assert "log_rollup_" not in statement.text


def test_a_page_by_cursor_ends_at_the_cursors_time() -> None:
    statement = sql.page(PageRequest(search_filter(), cursor=CURSOR))
    assert "ts <= $1 AND (ts, id) < ($1, $2)" in statement.text
    assert statement.arguments[:2] == (CURSOR.ts, CURSOR.id)


def test_one_row_more_than_the_limit_is_read_to_know_whether_there_is_more() -> None:
    assert sql.page(PageRequest(search_filter(), limit=10)).arguments[-2:] == (11, 0)
