"""One id asked for by many at once is searched for once, whether it is there or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from query_api.postgres_pools import Connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.reading import ProcessFigures
from tests.unit.query_api.builders import Clock, moment
from tests.unit.query_api.scripted_pool import Row, ScriptedPool, sessions_over

IDENTIFIER = UUID("5e1b0f6e-9d42-4d6f-8d3f-0c9a3b7f1e22")
ROW = {
    "id": IDENTIFIER,
    "ts": moment(1),
    "severity": 3,
    "source": "web-01",
    "message": "m",
    "attributes": None,
    "received_at": moment(2),
}


class Bench:
    """A store with one hour of ids that lead nowhere; its rows by id are what the test says."""

    def __init__(self, found: Sequence[Row] = ()) -> None:
        self.found = found
        self.pool = ScriptedPool(self.answers)
        self.clock = Clock()
        sessions = sessions_over(self.pool, connections=100, wait_s=5.0)
        self.reader = PostgresReader(Connections(sessions, sessions), "events", ReaderMemory.empty(self.clock))

    async def answers(self, text: str) -> Sequence[Row]:
        await asyncio.sleep(0)
        if "log_foreign_ids" in text:
            return [{"bucket": moment(0)}]
        if "LEFT JOIN (SELECT id" in text:
            # The first look is at the time that the id begins with.
            return [{"partitions": [0], "until_us": [5]} | dict.fromkeys(ROW)]
        if "AND id = " in text:
            return self.found
        if "array_agg" in text:
            return [{"partitions": [0], "until_us": [5]}]
        if "AS t LEFT JOIN" in text:
            return [{"total": 7, "process": None}]
        return []

    def searches(self) -> int:
        return sum("log_foreign_ids" in text for text in self.pool.asked)


@pytest.mark.parametrize("found", [(), (ROW,)])
async def test_twenty_who_ask_for_one_id_cost_one_search(found: Sequence[Row]) -> None:
    bench = Bench(found)
    answers = await asyncio.gather(*(bench.reader.event(IDENTIFIER, None) for _ in range(20)))
    assert bench.searches() == 1
    assert {event.message if event else None for event, _ in answers} == {"m" if found else None}
    assert all(until == {0: 5} for _, until in answers)


async def test_an_absent_id_is_not_searched_for_again_for_a_while() -> None:
    bench = Bench()
    await bench.reader.event(IDENTIFIER, None)
    await bench.reader.event(IDENTIFIER, None)
    assert bench.searches() == 1
    bench.clock.now_s += 2.1
    await bench.reader.event(IDENTIFIER, None)
    assert bench.searches() == 2


async def test_those_who_look_at_figures_at_once_take_one_connection() -> None:
    bench = Bench()
    answers: list[tuple[int, Sequence[ProcessFigures]]] = await asyncio.gather(
        *(bench.reader.figures() for _ in range(20))
    )
    assert answers == [(7, [])] * 20
    assert sum("AS t LEFT JOIN" in text for text in bench.pool.asked) == 1
