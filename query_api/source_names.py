"""Finds out which sources a filter can mean, so that indexes and counts by source lead to their events."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from dataclasses import replace
from typing import Final

from query_api.filter_language.bounds import is_of_sources, of_sources
from query_api.filter_language.compiled import condition
from query_api.filter_language.expressions import EVERYTHING, NOTHING, And, Expression, conjunction
from query_api.search import SearchFilter
from query_api.snapshot import Snapshot
from query_api.statement import Arguments, Statement
from stream_app.contract import ROLLUP_TOTAL

# With more of them, looking for each would take longer than looking at everything.
MOST_NAMED: Final = 50


async def named(snapshot: Snapshot, wanted: SearchFilter) -> SearchFilter:
    """A filter of the same events in this snapshot, with the names of their sources where they are few.

    A source is in the counts of all time from its first event on, so in the snapshot there are no others.
    """
    asked = of_sources(wanted.expression)
    if asked == EVERYTHING or wanted.source is not None:
        return wanted
    rows = await snapshot.fetch(sources_like(asked))
    if len(rows) > MOST_NAMED:
        return wanted
    names = tuple(row["source"] for row in rows)
    rest = _without_sources(wanted.expression)
    if not names:
        return replace(wanted, expression=NOTHING)
    if len(names) == 1:
        return replace(wanted, source=names[0], expression=rest)
    return replace(wanted, sources=names, expression=rest)


def sources_like(asked: Expression) -> Statement:
    """Rows (source): those that the filter asks for, and one more than may be named."""
    arguments = Arguments()
    wanted = condition(arguments, asked)
    return arguments.statement(
        f"SELECT DISTINCT source FROM {ROLLUP_TOTAL} WHERE {wanted} LIMIT {arguments.add(MOST_NAMED + 1)}"
    )


def _without_sources(expression: Expression) -> Expression:
    """Less what each of the named sources fulfils."""
    parts = expression.parts if isinstance(expression, And) else (expression,)
    return conjunction(tuple(part for part in parts if not is_of_sources(part)))
