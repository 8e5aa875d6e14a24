"""The account of a run in an SQLite file: every event as issued before it is sent, and what became of it.

Written before anything is sent, so that the one who keeps it may be killed too, and the file be checked later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

from loadgen.oracle_events import Issued

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS run (name TEXT NOT NULL, seed INTEGER NOT NULL, faults TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, producer INTEGER NOT NULL, sequence INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
    kind TEXT NOT NULL, id TEXT NOT NULL, bad INTEGER NOT NULL, hash BLOB NOT NULL, state INTEGER NOT NULL,
    partition INTEGER, "offset" INTEGER
);
CREATE INDEX IF NOT EXISTS events_id ON events (id);
"""


class State(IntEnum):
    """What is known of an event. A higher one is never lowered: an acknowledgement stays one."""

    ISSUED = 0
    REFUSED = 1
    UNKNOWN = 2
    ACKNOWLEDGED = 3


class OracleFile:
    """One run's file."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        # A killed process loses nothing of what was committed; a host without power might, and so would the run.
        self.connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_SCHEMA}")

    def begin(self, name: str, seed: int, faults: str) -> None:
        """A new run. Raises ValueError where the file holds one."""
        if self.run() is not None:
            raise ValueError("this file holds a run; check it with --check-only, or name another")
        self.connection.execute("INSERT INTO run VALUES (?, ?, ?)", (name, seed, faults))

    def run(self) -> tuple[str, int, str] | None:
        """Name, seed and fault schedule; None in a new file."""
        found: tuple[str, int, str] | None = self.connection.execute("SELECT name, seed, faults FROM run").fetchone()
        return found

    def issue(self, events: Iterable[Issued]) -> None:
        """Notes events that are about to be sent."""
        rows = [
            (e.number, e.producer, e.sequence, e.unix_ms, e.kind, e.identifier, e.bad, e.content_hash(), State.ISSUED)
            for e in events
        ]
        self._many("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", rows)

    def settle(self, events: Sequence[Issued], state: State) -> None:
        """Notes what became of them."""
        self._many("UPDATE events SET state = max(state, ?) WHERE number = ?", [(state, e.number) for e in events])

    def place(self, places: Iterable[tuple[Issued, int, int]]) -> None:
        """Acknowledged, at this partition and offset."""
        rows = [(State.ACKNOWLEDGED, partition, offset, event.number) for event, partition, offset in places]
        self._many('UPDATE events SET state = ?, partition = ?, "offset" = ? WHERE number = ?', rows)

    def counts(self) -> dict[str, int]:
        """How many events there are of each state, and how many of the acknowledged ones cannot be stored."""
        found = dict.fromkeys((state.name.lower() for state in State), 0)
        for state, count in self.connection.execute("SELECT state, count(*) FROM events GROUP BY 1"):
            found[State(state).name.lower()] = count
        bad = "SELECT count(*) FROM events WHERE bad AND state = 3"
        return {**found, "acknowledged_bad": self.connection.execute(bad).fetchone()[0]}

    def span_ms(self) -> tuple[int, int]:
        """The first and the last time of all events."""
        first, last = self.connection.execute("SELECT min(unix_ms), max(unix_ms) FROM events").fetchone()
        return (0, 0) if first is None else (first, last)

    def rows(self, query: str) -> Iterator[tuple[object, ...]]:
        """What a query finds, one after the other."""
        yield from self.connection.execute(query)

    def close(self) -> None:
        """Ends with it."""
        self.connection.close()

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self.connection:
            self.connection.execute("BEGIN")
            self.connection.executemany(statement, rows)
