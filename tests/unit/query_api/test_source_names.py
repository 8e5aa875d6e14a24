"""Which sources are looked for, and what is left of a filter once they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from query_api.filter_language.expressions import EVERYTHING, NOTHING
from query_api.filter_language.parse import parse
from query_api.search import SearchFilter
from query_api.source_names import MOST_NAMED, named, sources_like
from query_api.statement import Statement
from tests.unit.query_api.builders import search_filter


class Sources:
    """A database with these sources, all of which are found."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.asked: list[Statement] = []

    async def fetch(self, statement: Statement) -> Sequence[Mapping[str, Any]]:
        self.asked.append(statement)
        return [{"source": name} for name in self._names]


def of(text: str, **fields: object) -> SearchFilter:
    return search_filter(expression=parse(text), **fields)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("source:web", EVERYTHING),
        ("source:we* -source:web2", EVERYTHING),
        ("source:web denied", parse("denied")),
        ("(source:web OR source:db) severity:high denied", parse("severity:high denied")),
        ("(source:web denied) OR (source:web accepted)", parse("(source:web denied) OR (source:web accepted)")),
    ],
)
async def test_one_source_is_asked_for_by_its_name_and_the_rest_of_the_filter_stays(text: str, rest: object) -> None:
    found = await named(Sources("Web"), of(text))
    assert (found.source, found.sources, found.expression) == ("Web", (), rest)


async def test_a_few_are_asked_for_by_their_names() -> None:
    found = await named(Sources("web", "Web"), of("source:web denied"))
    assert (found.source, found.sources, found.expression) == (None, ("web", "Web"), parse("denied"))
    assert found.is_by_source


async def test_where_there_is_none_nothing_is_wanted() -> None:
    assert (await named(Sources(), of("source:web denied"))).expression == NOTHING


@pytest.mark.parametrize("text", ["denied", "severity:high", "source:web OR denied", "-(source:web denied)"])
async def test_what_any_source_can_have_is_left_as_it_is(text: str) -> None:
    sources, wanted = Sources("web"), of(text)
    assert await named(sources, wanted) == wanted
    assert not sources.asked


async def test_a_source_that_is_named_already_and_too_many_are_left_as_they_are() -> None:
    for sources, wanted in (
        (Sources("web"), of("source:web", source="db")),
        (Sources(*map(str, range(MOST_NAMED + 1))), of("source:*")),
    ):
        assert await named(sources, wanted) == wanted


def test_what_a_client_sent_is_an_argument() -> None:
    statement = sources_like(parse('source:"x\'; DROP"'))
    assert "DROP" not in statement.text
    assert statement.arguments == (["x'; drop"], MOST_NAMED + 1)
