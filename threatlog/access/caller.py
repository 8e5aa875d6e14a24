"""Who makes a request, as every route sees it, whether by an API key or where none is needed."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_IN_SCOPE: Final = "threatlog.caller"


class Scope(StrEnum):
    """What a key may do."""

    INGEST = "ingest"
    QUERY = "query"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key may send in a second; None where only the process's own limits hold."""

    events_per_s: float | None = None
    bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a request. `sources`: the only ones it may send events of; None for any."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    sources: frozenset[str] | None = None
    quota: Quota = Quota()

    @property
    def anonymous(self) -> bool:
        """Whether no key was needed."""
        return not self.key_id


# Whoever reaches a process that needs no keys.
ANONYMOUS: Final = Caller("", "anonymous", frozenset(Scope))


def set_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Leaves the caller in an ASGI scope, for the route that answers."""
    scope[_IN_SCOPE] = caller


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Who made the request of an ASGI scope."""
    caller = scope.get(_IN_SCOPE, ANONYMOUS)
    assert isinstance(caller, Caller)
    return caller
