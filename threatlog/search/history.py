"""What happened before a stream began: so that nothing falls between what is stored and what comes live.

What was accepted before the stream began is not all stored at that moment. So the stored events are asked for until the
answer is complete up to a time after the stream's beginning, by the clock of the query API: `as_of` of the lag is
refreshed each second, and one that is newer than that of the first answer is after the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec

from threatlog.search.log_event import event_of
from threatlog.search.pages import Pages
from threatlog.search.times import written

_POLL_S: Final = 0.5
_MOST_POLLS: Final = 30
# By their own time events may be ahead of now.
_AHEAD: Final = timedelta(minutes=10)


@dataclass(slots=True)
class History:
    """The newest events since a time, oldest first, and those that are stored while it is looked."""

    api: Pages
    wanted: Mapping[str, str]
    limit: int
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    _seen: set[str] = field(default_factory=set)

    def events(self) -> Iterator[bytes]:
        """Each once, at most `limit` at each look."""
        first_as_of: datetime | None = None
        target: datetime | None = None
        for _ in range(_MOST_POLLS):
            page = self.api.page({**self.wanted, "end_time": written(self.now() + _AHEAD), "limit": str(self.limit)})
            yield from self._new(page.logs)
            as_of = page.lag.as_of
            first_as_of = first_as_of or as_of
            if target is None and as_of is not None and first_as_of is not None and as_of > first_as_of:
                target = as_of
            if target is not None and page.complete_until is not None and page.complete_until >= target:
                return
            self.sleep(_POLL_S)
        self.say("storage is behind: what was accepted just before now may be missing here")

    def is_new(self, encoded: bytes) -> bool:
        """Whether an event of the stream was not shown before."""
        if not self._seen:
            return True
        return event_of(encoded).id not in self._seen

    def _new(self, logs: Sequence[msgspec.Raw]) -> Iterator[bytes]:
        for raw in reversed(logs):
            encoded = bytes(raw)
            identifier = event_of(encoded).id
            if identifier not in self._seen:
                self._seen.add(identifier)
                yield encoded
