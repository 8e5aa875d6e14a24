"""What PostgreSQL's error codes mean for a window: wait, a bad row, or our own mistake."""

from __future__ import annotations

# Classes that say nothing about our data: connection, rollback (deadlock), resources, operator, system.
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58")
# Read-only (a failover), and a database that does not exist yet.
_TRANSIENT_STATES = frozenset({"25006", "3D000"})
# Serialization, deadlock, statement_timeout or a cancellation, lock_timeout: PostgreSQL answers, others are in the way.
_BUSY_STATES = frozenset({"40001", "40P01", "57014", "55P03"})
_REFUSED_CLASSES = ("22", "23", "54")


def is_transient(state: str | None) -> bool:
    """Whether the same call will succeed later."""
    return state is not None and (state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES)


def is_busy(state: str | None) -> bool:
    """Whether PostgreSQL is there, and others hold what the call needs."""
    return state in _BUSY_STATES


def is_refusal(state: str | None) -> bool:
    """Whether it is a row that was refused."""
    return state is not None and state.startswith(_REFUSED_CLASSES)
