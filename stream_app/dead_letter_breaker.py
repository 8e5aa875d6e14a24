"""Stops reading a partition that gives nothing but dead letters: a broken sender must not empty the topic into them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from stream_app.outcomes import Window

log = logging.getLogger(__name__)
# One window is tried then; whoever has mended the sender need not tell anybody.
TRY_AGAIN_AFTER_S: Final = 60.0


class Log(Protocol):
    """What is needed of Kafka."""

    def pause(self, partition: int) -> None:
        """No record of it is handed over any more."""
        ...

    def resume(self, partition: int) -> None:
        """They are again."""
        ...


class DeadLetterBreaker:
    """Counts dead letters in a row by partition, window by window; an event in between begins anew.

    What is not read stays in Kafka, unacknowledged and with the offset before it stored. 0 as `limit` never stops.
    """

    def __init__(self, limit: int, kafka: Log, now_s: Callable[[], float], show: Callable[[int], None]) -> None:
        self._limit = limit
        self._kafka = kafka
        self._now_s = now_s
        self._show = show
        self._in_a_row: Counter[int] = Counter()
        # Partition -> when it is tried again.
        self._stopped: dict[int, float] = {}

    def holds(self, partition: int) -> bool:
        """Whether it is not to be read now."""
        return partition in self._stopped

    def forget(self) -> None:
        """Partitions are assigned anew; Faust pauses none of them."""
        self._in_a_row.clear()
        self._stopped.clear()
        self._show(0)

    def note(self, window: Window) -> None:
        """Looks at a window that is stored."""
        letters = window.prepared.dead_letters
        if not self._limit or not (letters or self._in_a_row):
            return
        with_events = {row.partition for row in window.prepared.rows}
        self._in_a_row.update(letter.partition for letter in letters)
        for partition in with_events & self._in_a_row.keys():
            del self._in_a_row[partition]
        for partition, count in self._in_a_row.items():
            if count >= self._limit and partition not in self._stopped:
                self._stop(partition, count)

    def _stop(self, partition: int, count: int) -> None:
        self._stopped[partition] = self._now_s() + TRY_AGAIN_AFTER_S
        self._kafka.pause(partition)
        self._show(len(self._stopped))
        log.error(
            "a partition gives nothing but dead letters and is not read for a while",
            extra={"partition": partition, "in_a_row": count, "tried_again_after_s": TRY_AGAIN_AFTER_S},
        )

    async def retry(self, stored: Mapping[int, int], seek: Callable[[int, int], Awaitable[None]]) -> None:
        """Reads on, from what is stored, where it is time to. Nothing was lost of what was not read meanwhile:

        1. Seek, which admits no record of before it any more. 2. Let records be handed over again.
        """
        for partition in [number for number, due_s in self._stopped.items() if due_s <= self._now_s()]:
            if partition in stored:
                await seek(partition, stored[partition])  # 1
            if self._stopped.pop(partition, None) is not None:
                self._kafka.resume(partition)  # 2
                self._show(len(self._stopped))
