"""Which stretches of time a page visits, and how far back the newest events are looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ingest_gateway.contract import EARLIEST
from query_api.page_search import find_newest, find_page
from query_api.search import PageRequest
from query_api.statement import Statement
from query_api.timeline import HOUR, MINUTE, Window
from tests.unit.query_api.builders import NOON, moment, search_filter

LATE = NOON + timedelta(hours=1)


def bucket(start: datetime, n: int) -> dict[str, Any]:
    return {"bucket": start, "n": n, "severities": 1 << 3}


class ScriptedSnapshot:
    """Answers with these buckets and rows, and notes what was asked."""

    def __init__(self, hours: Sequence[Any] = (), minutes: Sequence[Any] = (), rows: Sequence[Any] = ()) -> None:
        self._hours, self._minutes, self._rows = hours, minutes, rows
        self.asked: list[Statement] = []

    async def fetch(self, statement: Statement) -> Sequence[Mapping[str, Any]]:
        self.asked.append(statement)
        if "AS total" in statement.text:
            return [{"total": 7, "partitions": None, "until_us": None}]
        if "severities" in statement.text:
            return self._hours if "_hour" in statement.text else self._minutes
        return [{**row, "found": len(self._rows)} for row in self._rows]

    def visited(self) -> list[Window]:
        """The windows of the last statement."""
        starts, ends = (value for value in self.asked[-1].arguments if isinstance(value, list) and value != [3])
        return [Window(start, end) for start, end in zip(starts, ends, strict=True)]


async def test_few_events_of_a_source_in_a_busy_hour_are_visited_by_the_minute() -> None:
    """However many they are: what else the hour holds is not known to be less."""
    snapshot = ScriptedSnapshot([bucket(NOON, 5000)], [bucket(NOON + 7 * MINUTE, 5000)])
    await find_page(snapshot, PageRequest(search_filter(source="a")), "t")
    assert snapshot.visited() == [Window(NOON + 7 * MINUTE, NOON + 8 * MINUTE)]


async def test_with_an_index_by_source_the_hour_will_do() -> None:
    earlier = NOON - 5 * HOUR
    snapshot = ScriptedSnapshot([bucket(NOON, 3), bucket(earlier, 3)], [bucket(NOON + MINUTE, 2), bucket(NOON, 1)])
    wanted = search_filter(start=earlier, source="a")
    await find_page(snapshot, PageRequest(wanted), "t", [Window(earlier - HOUR, NOON)])
    assert snapshot.visited() == [Window(earlier, earlier + HOUR), Window(NOON, NOON + 2 * MINUTE)]


async def test_without_source_an_index_by_source_is_of_no_use() -> None:
    snapshot = ScriptedSnapshot([bucket(NOON, 3)], [bucket(NOON + MINUTE, 3)])
    await find_page(snapshot, PageRequest(search_filter(severities=(3,))), "t", [Window(NOON, LATE)])
    assert snapshot.visited() == [Window(NOON + MINUTE, NOON + 2 * MINUTE)]


def row(number: int) -> dict[str, Any]:
    columns = {"id": UUID(int=number), "ts": moment(number), "severity": 3, "source": "a", "message": "m"}
    return {**columns, "attributes": None, "received_at": moment(number)}


@pytest.mark.parametrize(("found", "looks"), [(2, 1), (1, 4)])
async def test_newest_events_are_looked_for_in_ever_longer_ranges_until_there_are_enough(
    found: int, looks: int
) -> None:
    snapshot = ScriptedSnapshot(rows=[row(n) for n in range(found)])
    assert len(await find_newest(snapshot, (3,), LATE, 2)) == found

    starts = [asked.arguments[1][0] for asked in snapshot.asked if "severities" in asked.text]
    expected = [*(LATE - timedelta(days=days) for days in (1, 8, 64)), EARLIEST]
    assert starts == expected[:looks]
