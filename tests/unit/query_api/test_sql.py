"""SQL texts: what a client sends is only ever an argument."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest

from query_api import page_sql, source_sql, sql
from query_api.filter_language.parse import parse
from query_api.page_sql import PagePlan
from query_api.search import Cursor, PageRequest, SearchFilter
from query_api.source_stretches import DAY_MINUTES, FIVE_MINUTES, HOUR_MINUTES, Stretch
from query_api.statement import Arguments, Statement
from query_api.timeline import HOUR, Window, alike_pieces, pieces
from tests.unit.query_api.builders import NOON, search_filter

HOSTILE = "x'; DROP TABLE logs; --"
CURSOR = Cursor(NOON + timedelta(minutes=5), UUID(int=1), 3, None)
WITHIN = Window(NOON, NOON + HOUR)
STRETCHES = [Stretch(0, FIVE_MINUTES), Stretch(0, HOUR_MINUTES), Stretch(0, DAY_MINUTES)]


def statements(wanted: SearchFilter) -> list[Statement]:
    cut = pieces(wanted.start, wanted.end)
    first, later = PageRequest(wanted, offset=7), PageRequest(wanted, cursor=CURSOR)
    return [
        sql.total(wanted, cut, HOSTILE),
        source_sql.stats(wanted, cut, HOSTILE),
        source_sql.severities(wanted, cut, HOSTILE),
        source_sql.by_source(wanted, cut, STRETCHES, HOSTILE),
        source_sql.of_each(wanted, STRETCHES[:1]),
        source_sql.of_each(wanted, STRETCHES[1:]),
        source_sql.cells(),
        page_sql.page(first, PagePlan(HOSTILE, cut, [WITHIN])),
        page_sql.page(later, PagePlan(HOSTILE)),
        sql.page_within(first, [WITHIN]),
        sql.page_within(later, [WITHIN]),
        sql.event(UUID(int=1), NOON, NOON + HOUR),
        sql.events([(NOON, UUID(int=1))]),
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
        page_sql.page(PageRequest(wanted), PagePlan("t", cut)),
        page_sql.page(PageRequest(wanted, cursor=CURSOR), PagePlan("t")),
    ):
        if severities or "total" in statement.text:
            assert "log_count_" in statement.text or "NULL::bigint AS total" in statement.text
        assert "log_rollup_" not in statement.text


@pytest.mark.parametrize("severities", [(), (4,), (1, 4)])
@pytest.mark.parametrize("source", [None, "a"])
def test_the_text_of_a_page_is_the_same_for_every_range(severities: tuple[int, ...], source: str | None) -> None:
    """So one plan of it serves them all."""
    texts, starts = set(), (NOON, NOON - timedelta(minutes=20), NOON + timedelta(minutes=40, seconds=3))
    for start in starts:
        for width in (timedelta(seconds=5), timedelta(minutes=90), timedelta(days=40, minutes=7)):
            wanted = search_filter(start=start, end=start + width, severities=severities, source=source)
            cut = alike_pieces(wanted.start, wanted.end)
            statement = page_sql.page(PageRequest(wanted), PagePlan("t", cut))
            assert statement.is_planned_once
            texts.add(statement.text)
    assert len(texts) == 1


def test_a_page_of_a_filter_is_planned_for_it() -> None:
    wanted = search_filter(expression=parse("source:web*"))
    cut = alike_pieces(wanted.start, wanted.end)
    assert not page_sql.page(PageRequest(wanted), PagePlan("t", cut)).is_planned_once


def test_a_page_by_cursor_ends_at_the_cursors_time() -> None:
    statement = sql.page(PageRequest(search_filter(), cursor=CURSOR), Arguments())
    assert "ts <= $1 AND (ts, id) < ($1, $2)" in statement.text
    assert statement.arguments[:2] == (CURSOR.ts, CURSOR.id)


def test_one_row_more_than_the_limit_is_read_to_know_whether_there_is_more() -> None:
    assert sql.page(PageRequest(search_filter(), limit=10), Arguments()).arguments[-2:] == (11, 0)
