"""Follows the live stream: goes on after a break where it was, and says what was skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from threatlog.search.event_stream import EventStream, EventTooLargeError, StreamEvent
from threatlog.search.failures import AwayError, BrokenOffError, BusyError, SearchError

_FIRST_WAIT_S: Final = 1.0
_MOST_WAIT_S: Final = 30.0


class Tail(Protocol):
    """Gives the bytes of the live stream."""

    def tail(self, parameters: Mapping[str, str], last_id: str) -> AbstractContextManager[Iterator[bytes]]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How to wait, for how much longer or shorter (a factor), and where to say what happens."""

    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    say: Callable[[str], None]


class Following:
    """One stream of events over any number of connections."""

    def __init__(self, api: Tail, wanted: Mapping[str, str], around: Surroundings) -> None:
        self._api = api
        self._wanted = wanted
        self._around = around
        self._last_id = ""
        self._wait_s = _FIRST_WAIT_S
        self._retry_s = 0.0
        self._was_connected = False

    def events(
        self, at_begin: Callable[[], Iterator[bytes]], is_new: Callable[[bytes], bool] = lambda _: True
    ) -> Iterator[bytes]:
        """The events that are new, for ever; before the first what `at_begin` gives, once the stream has begun.

        Raises SearchError where it cannot begin, or may not go on.
        """
        while True:
            problem = "the stream has ended"
            try:
                for event in self._once():
                    if not self._was_connected:
                        self._was_connected = True
                        yield from at_begin()
                    self._wait_s = _FIRST_WAIT_S
                    if event.kind != "log":
                        self._tell(event)
                    elif is_new(event.data):
                        yield event.data
            except (BrokenOffError, BusyError, AwayError) as error:
                if not self._was_connected and isinstance(error, AwayError):
                    raise
                problem = str(error)
                if isinstance(error, BusyError):
                    self._wait_s = max(self._wait_s, error.retry_after_s)
            self._wait(problem)

    def _once(self) -> Iterator[StreamEvent]:
        stream = EventStream(self._last_id)
        with self._api.tail(self._wanted, self._last_id) as pieces:
            for piece in pieces:
                try:
                    for event in stream.feed(piece):
                        self._last_id = event.last_id
                        yield event
                except EventTooLargeError as error:
                    raise SearchError(f"what comes is no stream of ThreatLog: {error}") from None
                if stream.retry_ms is not None:
                    self._retry_s = min(stream.retry_ms / 1000, _MOST_WAIT_S)

    def _tell(self, event: StreamEvent) -> None:
        try:
            found: Any = msgspec.json.decode(event.data)
        except msgspec.DecodeError:
            return
        data = found if isinstance(found, dict) else {}
        if event.kind == "skipped":
            self._around.say(
                f"{data.get('events', 'some')} events were skipped here; ask for them by "
                f"--since {data.get('start_time')} --until {data.get('end_time')} --all"
            )
        elif event.kind in ("trouble", "ended") and data.get("detail"):
            self._around.say(str(data["detail"]))

    def _wait(self, problem: str) -> None:
        wait_s = max(self._wait_s, self._retry_s) * self._around.jitter()
        self._around.say(f"{problem}; connecting again in {wait_s:.1f} s")
        self._around.sleep(wait_s)
        self._wait_s = min(self._wait_s * 2, _MOST_WAIT_S)
