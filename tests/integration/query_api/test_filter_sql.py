"""The SQL of random filters selects the same random rows of a real PostgreSQL as a plain evaluation in Python."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from query_api.filter_language.bounds import is_of_cells, widened
from query_api.filter_language.compiled import condition
from query_api.filter_language.expressions import Expression
from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.written import written
from tests.filter_expressions import attributes, expressions, messages, sources
from tests.servers import Stack

pytestmark = pytest.mark.integration

Row = tuple[int, str, str, str | None]
_ROWS = st.lists(st.tuples(st.integers(0, 4), sources, messages, attributes), min_size=12, max_size=12)
_COLUMNS = "unnest($1::smallint[], $2::text[], $3::text[], $4::json[]) WITH ORDINALITY"


class _Database:
    """One connection with an event loop of its own: Hypothesis calls plain functions."""

    def __init__(self, dsn: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(dsn))

    def selected(self, expression: Expression, rows: list[Row]) -> set[int]:
        """Which rows the SQL selects."""
        arguments = _Arguments([list(column) for column in zip(*rows, strict=True)])
        where = condition(arguments, expression)
        text = f"SELECT i FROM {_COLUMNS} AS logs (severity, source, message, attributes, i) WHERE {where}"
        found = self._loop.run_until_complete(self._connection.fetch(text, *arguments.values))
        return {row["i"] - 1 for row in found}

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


class _Arguments:
    def __init__(self, values: list[object]) -> None:
        self.values = values

    def add(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


@pytest.fixture
def database(stack: Stack) -> Iterator[_Database]:
    found = _Database(stack.postgres_dsn)
    yield found
    found.close()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions, _ROWS)
def test_sql_and_python_select_the_same_rows(database: _Database, expression: Expression, rows: list[Row]) -> None:
    events = [Candidate(severity, source, message, attributes_of(text)) for severity, source, message, text in rows]
    note(written(expression))
    expected = {place for place, event in enumerate(events) if matches(expression, event)}
    assert database.selected(expression, rows) == expected
    wide = widened(expression)
    assert is_of_cells(wide)
    assert database.selected(wide, rows) >= expected
    assert not is_of_cells(expression) or wide == expression
