"""What severity and source alone say of a filter: the counts, which know no more of an event, are asked with that."""

from __future__ import annotations

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
    return any(isinstance(leaf, Field) and isinstance(leaf.place, Source) for leaf in leaves(expression))


def widened(expression: Expression) -> Expression:
    """A filter of severity and source alone that leaves out none of the events: the narrowest one."""
    return _bound(expression, EVERYTHING)


def _bound(expression: Expression, unknown: Expression) -> Expression:
    """With what only rows can say replaced by `unknown`; under a `Not` by its opposite."""
    match expression:
        case And(parts):
            return conjunction(tuple(_bound(part, unknown) for part in parts))
        case Or(parts):
            return disjunction(tuple(_bound(part, unknown) for part in parts))
        case Not(part):
            return negation(_bound(part, NOTHING if unknown == EVERYTHING else EVERYTHING))
        case Everything():
            return expression
        case leaf:
            return leaf if _is_of_cell(leaf) else unknown


def _is_of_cell(leaf: Expression) -> bool:
    return isinstance(leaf, SeverityIs) or (isinstance(leaf, Field) and isinstance(leaf.place, Source))
