"""How a page goes on below where a statement would have met too many rows, and how far back the newest are sought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ingest_gateway.contract import EARLIEST
from query_api.page_search import PageSearch, find_newest, find_page
from query_api.search import MAX_ANSWER_BYTES, Cursor, PageRequest
from query_api.statement import Statement
from tests.unit.query_api.builders import NOON, moment, search_filter

LATE = NOON + timedelta(hours=1)
RARE = search_filter(start=NOON, source="a")


def row(number: int) -> dict[str, Any]:
    columns = {"id": UUID(int=number + 1), "ts": moment(number), "severity": 3, "source": "a", "message": "m"}
    return {**columns, "attributes": None, "received_at": moment(number)}


def answer(total: int | None, rows: Sequence[dict[str, Any]], unseen_until: datetime | None = None) -> list[Any]:
    head = {"total": total, "partitions": [0], "until_us": [5], "unseen_until": unseen_until}
    return [head, *({**row, "found": len(rows)} for row in rows)]


class ScriptedSnapshot:
    """Answers one after the other, the last one again and again, and notes what was asked."""

    def __init__(self, *answers: list[Any]) -> None:
        self._answers = list(answers)
        self.asked: list[Statement] = []

    async def fetch(self, statement: Statement) -> Sequence[Mapping[str, Any]]:
        self.asked.append(statement)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_what_lies_among_few_rows_is_one_statement() -> None:
    snapshot = ScriptedSnapshot(answer(7, [row(3), row(2), row(1)]))
    page = await find_page(snapshot, PageRequest(RARE, limit=2), PageSearch("t"))
    assert [event.id.int for event in page.events] == [4, 3]
    assert (page.total, page.has_more, page.scanned_until, page.stored_until_us) == (7, True, None, {0: 5})
    assert len(snapshot.asked) == 1


async def test_what_lies_among_many_is_looked_for_on_below() -> None:
    snapshot = ScriptedSnapshot(
        answer(9, [row(50)], moment(40)), answer(None, [], moment(30)), answer(None, [row(20), row(10)])
    )
    page = await find_page(snapshot, PageRequest(RARE, limit=2), PageSearch("t"))
    assert [event.id.int for event in page.events] == [51, 21]
    assert (page.total, page.has_more, page.scanned_until) == (9, True, None)
    first, *others = snapshot.asked
    assert MAX_ANSWER_BYTES in first.arguments
    for statement, below in zip(others, (moment(40), moment(30)), strict=True):
        assert below in statement.arguments
        assert UUID(int=0) in statement.arguments
        # What was found counts towards the size of the answer.
        assert MAX_ANSWER_BYTES - 1 in statement.arguments


async def test_a_full_page_is_not_known_to_be_the_last_before_all_was_seen() -> None:
    snapshot = ScriptedSnapshot(answer(2, [row(50), row(45)], moment(40)), answer(None, []))
    page = await find_page(snapshot, PageRequest(RARE, limit=2), PageSearch("t"))
    assert (len(page.events), page.has_more, page.scanned_until) == (2, False, None)


async def test_when_the_time_is_over_it_says_how_far_it_came() -> None:
    snapshot = ScriptedSnapshot(answer(9, [row(50)], moment(40)), answer(None, [row(35)], moment(30)))
    over = iter((False, True))
    page = await find_page(snapshot, PageRequest(RARE, limit=5), PageSearch("t", is_over=lambda: next(over)))
    assert [event.id.int for event in page.events] == [51, 36]
    assert (page.total, page.has_more, page.scanned_until) == (9, True, moment(30))


async def test_a_page_that_is_as_large_as_it_may_be_says_how_far_it_came() -> None:
    """The next one begins there: nothing of what is below was passed over."""
    large = row(50) | {"message": "m" * MAX_ANSWER_BYTES}
    snapshot = ScriptedSnapshot(answer(9, [large], moment(40)), answer(None, []))
    page = await find_page(snapshot, PageRequest(RARE, limit=5), PageSearch("t"))
    assert (len(page.events), page.has_more, page.scanned_until) == (1, True, moment(40))
    assert len(snapshot.asked) == 1


async def test_a_page_by_cursor_has_the_total_of_the_first() -> None:
    snapshot = ScriptedSnapshot(answer(None, [row(1)]))
    cursor = Cursor(moment(5), UUID(int=9), 70, None)
    page = await find_page(snapshot, PageRequest(RARE, cursor=cursor), PageSearch("t"))
    assert (page.total, page.has_more) == (70, False)


@pytest.mark.parametrize(("found", "looks"), [(2, 1), (3, 1), (1, 4)])
async def test_newest_events_are_looked_for_in_ever_longer_ranges_until_there_are_enough(
    found: int, looks: int
) -> None:
    snapshot = ScriptedSnapshot(answer(None, [row(n) for n in range(found)]))
    page = await find_newest(snapshot, (3,), LATE, 2, "t")
    assert page.total == len(page.events) == min(found, 2)

    expected = [*(LATE - timedelta(days=days) for days in (1, 8, 64)), EARLIEST]
    for statement, start in zip(snapshot.asked, expected[:looks], strict=True):
        assert min(value for value in statement.arguments if isinstance(value, datetime)).date() == start.date()
