"""A stream goes on where it was after every kind of break, and nothing is shown twice or lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
import pytest

from threatlog.search.failures import AwayError, BrokenOffError, BusyError, SearchError
from threatlog.search.following import Following, Surroundings
from threatlog.search.history import History
from threatlog.search.query_api import Lag, Page

POSITION = b"id: 0:0\nevent: position\ndata: {}\n\n"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def log(number: int) -> bytes:
    return b"id: 0:%d\nevent: log\ndata: %d\n\n" % (number, number)


class ScriptedTail:
    """Each connection gives its pieces, and ends by the error among them."""

    def __init__(self, *connections: list[bytes | Exception] | Exception) -> None:
        self._connections = list(connections)
        self.asked: list[str] = []

    @contextmanager
    def tail(self, parameters: Mapping[str, str], last_id: str) -> Iterator[Iterator[bytes]]:
        assert not parameters
        self.asked.append(last_id)
        connection = self._connections.pop(0)
        if isinstance(connection, Exception):
            raise connection
        yield self._pieces(connection)

    def _pieces(self, connection: list[bytes | Exception]) -> Iterator[bytes]:
        for piece in connection:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Told:
    """What was said, and how long was waited."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.waits: list[float] = []

    def around(self) -> Surroundings:
        return Surroundings(self.waits.append, lambda: 1.0, self.said.append)


def nothing() -> Iterator[bytes]:
    return iter(())


def test_it_goes_on_behind_the_last_event_however_a_connection_ends() -> None:
    tail = ScriptedTail(
        [POSITION, log(1), log(2)[:9], BrokenOffError("reset")],
        AwayError("restarting"),
        BusyError("too many tails", 7.0),
        [b"retry: 3000\n\n", log(2)[:5], log(2)[5:] + log(3)],
        [log(4)],
    )
    told = Told()
    found = list(islice(Following(tail, {}, told.around()).events(nothing), 4))
    assert found == [b"1", b"2", b"3", b"4"]
    assert tail.asked == ["", "0:1", "0:1", "0:1", "0:3"]
    assert told.waits == [1.0, 2.0, 7.0, 3.0]
    assert "reset; connecting again in 1.0 s" in told.said[0]


def test_what_was_skipped_is_said_with_the_range_to_ask_for() -> None:
    skipped = (
        b'id: 0:9\nevent: skipped\ndata: {"events": 7, "start_time": "2026-11-24T10:00:00Z", "end_time": "T2"}\n\n'
    )
    trouble = b'event: trouble\ndata: {"detail": "Kafka is away"}\n\nevent: ended\ndata: [1]\n\nevent: x\ndata: {\n\n'
    tail = ScriptedTail([POSITION + skipped + trouble + log(10)])
    told = Told()
    assert next(Following(tail, {}, told.around()).events(nothing)) == b"10"
    assert "7 events were skipped here" in told.said[0]
    assert "--since 2026-11-24T10:00:00Z --until T2 --all" in told.said[0]
    assert told.said[1:] == ["Kafka is away"]


def test_what_cannot_begin_or_may_not_go_on_is_an_error() -> None:
    for tail in (
        ScriptedTail(AwayError("nobody")),
        ScriptedTail(SearchError("no key")),
        ScriptedTail([POSITION, BrokenOffError("x")], SearchError("the key was revoked")),
    ):
        with pytest.raises(SearchError):
            next(Following(tail, {}, Told().around()).events(nothing))


def event(number: int) -> msgspec.Raw:
    moment = (NOON + timedelta(seconds=number)).isoformat()
    fields = {"id": str(number), "timestamp": moment, "severity": "LOW", "source": "s", "message": "m"}
    return msgspec.Raw(msgspec.json.encode({**fields, "ingested_at": moment}))


class StoredLater:
    """Pages of a store that is behind: each look finds more, and the lag is refreshed at every other one."""

    def __init__(self, complete_after: int) -> None:
        self._complete_after = complete_after
        self.looks = 0

    def page(self, parameters: Mapping[str, str]) -> Page:
        assert parameters["limit"] == "100"
        self.looks += 1
        stored = [event(number) for number in range(min(self.looks, 4), 0, -1)]
        as_of = NOON + timedelta(seconds=self.looks // 2)
        complete = as_of if self.looks >= self._complete_after else NOON - timedelta(minutes=1)
        return Page(stored, None, complete_until=complete, lag=Lag(as_of))


@pytest.mark.parametrize(("complete_after", "looks", "is_complete"), [(1, 2, True), (4, 4, True), (99, 30, False)])
def test_what_was_accepted_before_the_stream_began_is_waited_for(
    complete_after: int, looks: int, is_complete: bool
) -> None:
    told, store = Told(), StoredLater(complete_after)
    history = History(store, {}, 100, lambda: NOON, told.waits.append, told.said.append)
    found = [msgspec.json.decode(encoded)["id"] for encoded in history.events()]
    assert found == [str(number) for number in range(1, min(looks, 4) + 1)]
    assert store.looks == looks
    assert (told.said == []) == is_complete
    assert not history.is_new(bytes(event(1)))
    assert history.is_new(bytes(event(77)))
