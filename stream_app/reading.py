"""Where the next chunk of each partition begins, and what was read past without a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from stream_app.chunks import BufferedEvents, Chunk, Deliveries, Record


class View(Protocol):
    """What the consumer says of its partitions."""

    def position(self, partition: Any) -> int | None: ...


class Reading:
    """Offsets by (topic, partition)."""

    def __init__(self) -> None:
        self._positions: dict[Any, int] = {}
        # Partition -> offsets [start, end) read past since its last chunk: no record is there.
        self.passed: dict[int, tuple[int, int]] = {}

    def known(self, tps: Iterable[Any]) -> dict[Any, int]:
        """Where the next chunk of each begins, of those that were read or sought and not forgotten since."""
        return {tp: self._positions[tp] for tp in tps if tp in self._positions}

    def sought(self, tp: Any, offset: int) -> None:
        """The next chunk begins there."""
        self._positions[tp] = offset
        self.passed.pop(tp[1], None)

    def forget(self, tps: set[Any] | None = None) -> None:
        """The next chunk of these, or of any, follows on nothing."""
        for tp in list(self._positions) if tps is None else tps:
            self._positions.pop(tp, None)
            self.passed.pop(tp[1], None)

    def chunks(
        self, tp: Any, records: Sequence[Record], buffered: BufferedEvents, deliveries: Deliveries
    ) -> list[Chunk]:
        """What one fetch returned, in chunks that a window can hold. Tells of a log that goes on below."""
        first = records[0].offset
        position = self._positions.get(tp, first)
        if first < position:
            deliveries.log_went_back(tp[1], position, first)
        chunk = Chunk(tp[0], tp[1], min(position, first), records, buffered)
        self.sought(tp, chunk.next_offset)
        return chunk.split(buffered.max_window_bytes)

    def note_passed(self, view: View | None, but: Mapping[Any, Any], sought: set[Any]) -> None:
        """Notes what was read past. Right after a fetch, when no further one moves the position meanwhile.

        Not of partitions whose records come with this fetch, or that are being sought. The next chunk begins before
        what was passed nevertheless, so that the fence sees the hole.
        """
        if view is None:
            return
        for tp, start in self._positions.items():
            position = None if but.get(tp) or tp in sought else view.position(tp)
            if position is not None and position > start:
                self.passed[tp[1]] = (start, position)
