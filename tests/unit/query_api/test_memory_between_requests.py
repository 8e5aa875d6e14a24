"""What the reader remembers between requests: absent ids, and days with an index by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from query_api import sql
from query_api.absent_ids import KEPT_S, AbsentIds
from query_api.source_indexed import SourceIndexed
from query_api.statement import Statement
from query_api.timeline import Window
from tests.unit.query_api.builders import Clock, moment

IDENTIFIER = UUID(int=7)


def test_an_absent_id_is_remembered_with_how_far_the_store_was_for_a_while() -> None:
    clock = Clock()
    absent = AbsentIds(clock)
    assert absent.get(IDENTIFIER) is None
    absent.add(IDENTIFIER, {0: 5})
    clock.now_s += KEPT_S
    assert absent.get(IDENTIFIER) == {0: 5}
    clock.now_s += 0.01
    assert absent.get(IDENTIFIER) is None


def test_absent_ids_take_a_bounded_room() -> None:
    absent = AbsentIds(Clock())
    for number in range(25_000):
        absent.add(UUID(int=number), {})
    assert sum(absent.get(UUID(int=number)) is not None for number in range(25_000)) <= 10_000


class Catalog:
    """A snapshot that only knows indexes."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, statement: Statement) -> Sequence[Mapping[str, Any]]:
        assert statement == sql.SOURCE_INDEXED
        self.asked += 1
        return [{"a": moment(self.asked), "z": moment(self.asked + 1)}]


async def test_indexes_are_asked_for_once_a_minute() -> None:
    clock, catalog = Clock(), Catalog()
    indexed = SourceIndexed(clock)
    assert await indexed.windows(catalog) == [Window(moment(1), moment(2))]
    clock.now_s += 60
    assert await indexed.windows(catalog) == [Window(moment(1), moment(2))]
    clock.now_s += 0.1
    assert await indexed.windows(catalog) == [Window(moment(2), moment(3))]
