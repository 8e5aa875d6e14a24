"""Failed authentications: how many of late from where, and what of them goes into the audit log. Bounded in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from threatlog.access.audit import AuditEntry

# Failures that one address, or whoever tries one key's id, may have in a minute; further ones are told to wait.
MAX_FAILURES: Final = 10
WINDOW_S: Final = 60.0
# Addresses and ids that are counted at once; beyond, the counts of the oldest go first.
_MAX_COUNTED: Final = 10_000
# Kinds of failure that are kept for the audit log between two writes; further ones are counted together.
_MAX_KINDS: Final = 1_000
_ACTION: Final = "authentication.failed"
_NO_KEY: Final = "no key"
_OTHERS: Final = ("others", "", "several")


@dataclass(slots=True)
class _Window:
    began_at_s: float
    count: int = 0


class Failures:
    """What failed, by client address and by key id."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self._kinds: dict[tuple[str, str, str], int] = {}

    def add(self, code: str, address: str, key_id: str) -> float:
        """Counts one, and returns for how many seconds its sender should wait; 0 while there were few."""
        kind = (address, key_id, code)
        if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            kind = _OTHERS
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        waits = [self._count("address", address)]
        if key_id:
            waits.append(self._count("key", key_id))
        return max(waits)

    def _count(self, of: str, name: str) -> float:
        now = self._clock()
        key = (of, name)
        window = self._windows.get(key)
        if window is None or now - window.began_at_s >= WINDOW_S:
            # Last in the order again, so that the first is the oldest.
            self._windows.pop(key, None)
            if len(self._windows) >= _MAX_COUNTED:
                del self._windows[next(iter(self._windows))]
            window = self._windows[key] = _Window(now)
        window.count += 1
        return window.began_at_s + WINDOW_S - now if window.count > MAX_FAILURES else 0.0

    def take_entries(self, service: str) -> list[AuditEntry]:
        """What failed since the last time: one entry for each address, id and reason, with how often."""
        kinds, self._kinds = self._kinds, {}
        return [
            AuditEntry(address, _ACTION, key_id or _NO_KEY, {"reason": code, "count": n, "at": service})
            for (address, key_id, code), n in kinds.items()
        ]

    def put_back(self, entries: list[AuditEntry]) -> None:
        """Entries that could not be written wait for the next time."""
        for entry in entries:
            key_id = "" if entry.target == _NO_KEY else entry.target
            kind = (entry.actor, key_id, str(entry.detail["reason"]))
            if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
                kind = _OTHERS
            count = entry.detail["count"]
            assert isinstance(count, int)
            self._kinds[kind] = self._kinds.get(kind, 0) + count
