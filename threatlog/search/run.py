"""Runs one search: asks, renders, writes, and says with which code to end."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final

from threatlog.search.caret import pointed
from threatlog.search.failures import SearchError, WrongQueryError
from threatlog.search.following import Following, Surroundings
from threatlog.search.history import History
from threatlog.search.pager import leave_standard_output, paged, pager_command, shows_colours
from threatlog.search.pages import MOST_OF_A_PAGE, Progress, events
from threatlog.search.query_api import Address, QueryApi
from threatlog.search.rendering import Output, Renderer, harmless
from threatlog.search.times import written

# As grep.
EXIT_FOUND, EXIT_NONE, EXIT_ERROR = 0, 1, 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
EXIT_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
# Storage is always behind by a moment.
_USUALLY_BEHIND: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What the command line says. `limit` None means all; `since` None, with `follow`, nothing of before."""

    query: str
    since: datetime | None
    until: datetime
    severity: str
    source: str
    limit: int | None
    follow: bool
    output: Output
    color: str
    pager: bool

    def narrowing(self) -> dict[str, str]:
        """The parameters that every question has."""
        named = {"q": self.query, "severity": self.severity, "source": self.source}
        return {name: value for name, value in named.items() if value}


def run(options: SearchOptions, address: Address, environ: Mapping[str, str]) -> int:
    """Searches and returns the exit code."""
    progress = Progress()
    is_paged = False
    try:
        with ExitStack() as stack:
            api = QueryApi(address, time.sleep, say)
            stack.callback(api.close)
            command = _pager(options, environ)
            is_paged = bool(command)
            found = _found(options, api, progress)
            # An error is said on the terminal, not behind a pager.
            first = next(found, None)
            renderer = _renderer(options, environ, command)
            out = stack.enter_context(paged(command, environ)) if command and first else sys.stdout.buffer
            _write(out, renderer, first, found, at_once=options.follow or sys.stdout.isatty())
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        if is_paged:  # Whoever left it has seen enough.
            return EXIT_FOUND
        leave_standard_output()
        return EXIT_BROKEN_PIPE
    except SearchError as error:
        say(str(error))
        if isinstance(error, WrongQueryError):
            sys.stderr.write(f"{pointed(options.query, error.position)}\n")
        return EXIT_ERROR
    except OSError as error:
        say(f"cannot be written: {error.strerror}")
        return EXIT_ERROR
    if options.output == "table":
        _tell_rest(options, progress)
    return EXIT_FOUND if progress.events else EXIT_NONE


def say(text: str) -> None:
    """A line on standard error; nothing in it is a command to the terminal."""
    sys.stderr.write(f"threatlog: {harmless(text)}\n")
    sys.stderr.flush()


def _pager(options: SearchOptions, environ: Mapping[str, str]) -> list[str]:
    if not options.pager or options.follow or not sys.stdout.isatty():
        return []
    return pager_command(environ)


def _renderer(options: SearchOptions, environ: Mapping[str, str], pager: list[str]) -> Renderer:
    is_terminal = sys.stdout.isatty()
    is_able = is_terminal and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
    is_coloured = options.color == "always" or (
        options.color == "auto" and is_able and (not pager or shows_colours(pager))
    )
    return Renderer(options.output, is_terminal=is_terminal, is_coloured=is_coloured)


def _found(options: SearchOptions, api: QueryApi, progress: Progress) -> Iterator[bytes]:
    if options.follow:
        yield from _followed(options, api, progress)
        return
    assert options.since is not None
    times = {"start_time": written(options.since), "end_time": written(options.until)}
    yield from events(api, {**options.narrowing(), **times}, options.limit, progress, _looked_back)


def _looked_back(until: datetime) -> None:
    """Keeps whoever waits for a rare event informed, on one line that is written over."""
    if sys.stderr.isatty() and not sys.stdout.isatty():
        sys.stderr.write(f"\rthreatlog: looked back to {until:%Y-%m-%d %H:%M:%S}\x1b[K\r")
        sys.stderr.flush()


def _followed(options: SearchOptions, api: QueryApi, progress: Progress) -> Iterator[bytes]:
    wanted = options.narrowing()
    since = {"start_time": written(options.since or datetime.now(UTC))}
    limit = min(options.limit or MOST_OF_A_PAGE, MOST_OF_A_PAGE)
    history = History(api, {**wanted, **since}, limit, lambda: datetime.now(UTC), time.sleep, say)
    around = Surroundings(time.sleep, lambda: random.uniform(0.5, 1.0), say)  # noqa: S311 - spreads reconnects
    past = history.events if options.since else lambda: iter(())
    for encoded in Following(api, wanted, around).events(past, history.is_new):
        progress.events += 1
        yield encoded


def _write(out: BinaryIO, renderer: Renderer, first: bytes | None, rest: Iterator[bytes], *, at_once: bool) -> None:
    """Each event as it comes, or as many at a time as the stream likes."""
    if renderer.head and (first is not None or not at_once):
        out.write(renderer.head)
    if first is not None:
        out.write(renderer.render(first))
        if at_once:
            out.flush()
        for encoded in rest:
            out.write(renderer.render(encoded))
            if at_once:
                out.flush()
    out.flush()


def _tell_rest(options: SearchOptions, progress: Progress) -> None:
    """What the lines do not show: that there are more, or that some may be missing."""
    if options.follow:
        return
    if progress.has_more:
        of_all = "" if progress.total is None else f" of {progress.total:,}"
        say(f"the newest {progress.events:,}{of_all}; --limit or --all shows more")
    until = progress.complete_until
    if until is None:
        say(f"it is not known how complete this is: {progress.incomplete_reason}")
    elif until < min(options.until, datetime.now(UTC)) - _USUALLY_BEHIND:
        say(f"storage is behind: what was accepted after {written(until)} may be missing")
