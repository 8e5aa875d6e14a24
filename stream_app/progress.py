"""How far each partition is stored, and what the next window of it is cut for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_app.chunks import Chunk


class Progress:
    """Offsets by partition. What always holds:

    - `stored` has only what PostgreSQL said or confirmed, and is not lowered but by its word.
    - `expected` is the same as it will be once the windows that are cut are stored.
    - While a partition is sought, no chunk of it is admitted but the one that begins there.
    """

    def __init__(self) -> None:
        self.stored: dict[int, int] = {}
        self.expected: dict[int, int] = {}
        self._sought: dict[int, int] = {}
        # Kept over assignments: a lower answer than the last one is a database that was set back.
        self._confirmed: dict[int, int] = {}

    def forget(self) -> None:
        """An assignment begins: another worker may have stored meanwhile."""
        self.stored, self.expected = {}, {}
        self._sought.clear()

    def learn(self, found: Mapping[int, int]) -> bool:
        """Takes what PostgreSQL says. Whether it went back behind what it had said before."""
        lower = {number: offset for number, offset in found.items() if offset < self._confirmed.get(number, 0)}
        self.stored.update(found)
        self._confirmed.update(found)
        self.expected = {**found, **self.expected, **lower}
        return bool(lower)

    def unlearn(self, partitions: Iterable[int]) -> bool:
        """PostgreSQL has no rows of these. Whether it had any before."""
        had_rows = False
        for partition in partitions:
            self.stored.pop(partition, None)
            self.expected.pop(partition, None)
            had_rows |= self._confirmed.pop(partition, None) is not None
        return had_rows

    def cut(self, next_offsets: Mapping[int, int]) -> None:
        """A window was cut that will move the offsets there."""
        self.expected.update(next_offsets)

    def cut_anew(self, next_offsets: Mapping[int, int]) -> None:
        """The window under way was cut again, for what is stored; one cut after it will be so too."""
        self.expected = {**self.stored, **next_offsets}

    def confirm(self, next_offsets: Mapping[int, int]) -> None:
        """A transaction moved the offsets there."""
        for known in (self.stored, self._confirmed, self.expected):
            known.update({p: offset for p, offset in next_offsets.items() if offset > known.get(p, -1)})

    def seek(self, partition: int, offset: int) -> bool:
        """From now on only a chunk that begins at `offset` is admitted. False where that was so already."""
        if self._sought.get(partition) == offset:
            return False
        self._sought[partition] = offset
        return True

    def admits(self, chunk: Chunk) -> bool:
        """Whether a chunk was fetched after the last seek; the first that was ends the seek."""
        sought = self._sought.get(chunk.partition)
        if sought is None:
            return True
        if chunk.position != sought:
            return False
        del self._sought[chunk.partition]
        return True
