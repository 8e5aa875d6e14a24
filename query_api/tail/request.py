"""What a tail is asked for: which events, and from where on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ingest_gateway.contract import SEVERITY_CODES
from query_api.filter_language.expressions import EVERYTHING, Attribute, Expression, Field, leaves
from query_api.filter_language.matching import matches
from query_api.parameters import read_expression, read_query, read_severities, read_source, refuse
from query_api.tail.live_event import LiveEvent
from query_api.tail.vector import EXPECTED, BadVectorError, Vector, parsed

PARAMETERS: Final = ("severity", "source", "q", "after")


@dataclass(frozen=True, slots=True)
class TailRequest:
    """Severities are names, empty for all. `after` is None for what comes from now on."""

    severities: frozenset[str]
    source: str | None
    expression: Expression
    after: Vector | None = None

    @property
    def asks_for_attributes(self) -> bool:
        """Whether attributes must be decoded to decide."""
        return any(isinstance(leaf, Field) and isinstance(leaf.place, Attribute) for leaf in leaves(self.expression))

    def selects(self, event: LiveEvent, *, with_attributes: bool) -> bool:
        """Whether the event is wanted; `with_attributes` is `asks_for_attributes`."""
        if self.severities and event.severity not in self.severities:
            return False
        if self.source is not None and event.event.source != self.source:
            return False
        if self.expression == EVERYTHING:
            return True
        return matches(self.expression, event.candidate(with_attributes=with_attributes))


def read_tail_request(query: bytes, last_event_id: str | None) -> TailRequest:
    """What a query string asks for. Last-Event-ID is newer than an `after` in the address. Raises Problem."""
    values = read_query(query, PARAMETERS)
    name, text = ("Last-Event-ID", last_event_id) if last_event_id else ("after", values.get("after"))
    after: Vector | None = None
    if text:
        try:
            after = parsed(text.strip())
        except BadVectorError as error:
            raise refuse(name, f"{EXPECTED}; {error}", text) from None
    codes = set(read_severities(values))
    severities = frozenset(severity for severity, code in SEVERITY_CODES.items() if code in codes)
    return TailRequest(severities, read_source(values), read_expression(values), after)
