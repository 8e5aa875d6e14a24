"""What severity and source alone say of a filter: the counts, which know no more of an event, are asked with that."""

from __future__ import annotations

from collections.abc import Callable

from query_api.filter_language.expressions import (
    EVERYTHING,
    NOTHING,
    And,
    Everything,
    Expression,
    Field,
    Not,
    Or,
    SeverityIs,
    Source,
    conjunction,
    disjunction,
    leaves,
    negation,
)


def is_of_cells(expression: Expression) -> bool:
    """Whether severity and source decide it: then it can be counted without looking at one event."""
    return all(_is_of_cell(leaf) for leaf in leaves(expression))


def asks_for_source(expression: Expression) -> bool:
    """Whether the source matters."""
    return any(_is_of_source(leaf) for leaf in leaves(expression))


def widened(expression: Expression) -> Expression:
    """A filter of severity and source alone that leaves out none of the events: the narrowest one."""
    return _bound(expression, EVERYTHING, _is_of_cell)


def of_sources(expression: Expression) -> Expression:
    """A filter of the source alone that leaves out none of the events: the narrowest one."""
    return _bound(expression, EVERYTHING, _is_of_source)


def is_of_sources(expression: Expression) -> bool:
    """Whether the source alone decides it."""
    return all(_is_of_source(leaf) for leaf in leaves(expression))


def _bound(expression: Expression, unknown: Expression, is_known: Callable[[Expression], bool]) -> Expression:
    """With what is not known replaced by `unknown`; under a `Not` by its opposite."""
    match expression:
        case And(parts):
            return conjunction(tuple(_bound(part, unknown, is_known) for part in parts))
        case Or(parts):
            return disjunction(tuple(_bound(part, unknown, is_known) for part in parts))
        case Not(part):
            return negation(_bound(part, NOTHING if unknown == EVERYTHING else EVERYTHING, is_known))
        case Everything():
            return expression
        case leaf:
            return leaf if is_known(leaf) else unknown


def _is_of_cell(leaf: Expression) -> bool:
    return isinstance(leaf, SeverityIs) or _is_of_source(leaf)


def _is_of_source(leaf: Expression) -> bool:
    return isinstance(leaf, Field) and isinstance(leaf.place, Source)
