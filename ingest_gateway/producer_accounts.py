"""What became of each producer's events at this gateway, counted by API key; absolute since its first start."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ingest_gateway.acceptance import Rejection

# Names of how far an event's own time lies behind its receipt, and the bounds between them in seconds.
_SKEW_BOUNDS_S: Final = (-60.0, -1.0, 1.0, 60.0, 3600.0)
SKEW_NAMES: Final = (
    "ahead_over_1m",
    "ahead_over_1s",
    "within_1s",
    "behind_over_1s",
    "behind_over_1m",
    "behind_over_1h",
)
Counters = Mapping[str, int]
_ACCEPTED: Final = "accepted"
_BYTES: Final = "bytes"
_REJECTED: Final = "rejected."
_SKEW: Final = "skew."


@dataclass(slots=True)
class Account:
    """One producer's. `counters`: `accepted`, `bytes`, `rejected.<code>`, `skew.<name>`."""

    counters: Counter[str] = field(default_factory=Counter)

    def received(self, size_bytes: int) -> None:
        """A body of so many bytes, after decompression."""
        self.counters[_BYTES] += size_bytes

    def accepted(self, count: int) -> None:
        """So many events are safe."""
        self.counters[_ACCEPTED] += count

    def rejected(self, rejections: Iterable[Rejection]) -> None:
        """These were refused."""
        for rejection in rejections:
            self.counters[_REJECTED + rejection.code] += 1

    def saw_times(self, times: Iterable[datetime | None], received_at: datetime) -> None:
        """When the events say that they happened; those that do not say it say nothing of a clock."""
        for moment in times:
            if moment is not None:
                behind_s = (received_at - moment).total_seconds()
                self.counters[_SKEW + SKEW_NAMES[bisect_right(_SKEW_BOUNDS_S, behind_s)]] += 1


class ProducerAccounts:
    """Those of all keys that sent something; as many as there are keys."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._changed: set[str] = set()

    def of(self, key_id: str) -> Account:
        """The account of a key, which changes now."""
        account = self._accounts.get(key_id)
        if account is None:
            account = self._accounts[key_id] = Account()
        self._changed.add(key_id)
        return account

    def counters(self, key_id: str) -> Counters:
        """Those of a key, empty where it sent nothing."""
        account = self._accounts.get(key_id)
        return account.counters if account is not None else {}

    def resume(self, stored: Mapping[str, Counters]) -> None:
        """Goes on from what an earlier life of this gateway had counted."""
        for key_id, counters in stored.items():
            self._accounts.setdefault(key_id, Account()).counters.update(counters)

    def take_changed(self) -> dict[str, Counters]:
        """The counters that changed since the last time."""
        changed, self._changed = self._changed, set()
        return {key_id: dict(self._accounts[key_id].counters) for key_id in changed}

    def put_back(self, changed: Iterable[str]) -> None:
        """What could not be written is written the next time."""
        self._changed.update(changed)


def account_body(parts: Sequence[Counters], duplicates: int | None) -> dict[str, object]:
    """What a producer is told of counters added up over all gateways."""
    total: Counter[str] = Counter()
    for counters in parts:
        total.update(counters)
    by_reason = {name.removeprefix(_REJECTED): n for name, n in sorted(total.items()) if name.startswith(_REJECTED)}
    return {
        "accepted": total[_ACCEPTED],
        "rejected": sum(by_reason.values()),
        "rejected_by_reason": by_reason,
        "duplicates": duplicates,
        "bytes": total[_BYTES],
        "clock_skew": {name: total[_SKEW + name] for name in SKEW_NAMES},
    }
