"""What an analyst asks, measured over HTTP on the data of `query_data`: each question has its own range and words."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from benchmarks.query import SOURCE, Asker, percentile, rfc3339
from benchmarks.query_data import RARE_EVENTS_A_DAY, SPAN

DAY: Final = timedelta(days=1)
# At most so long is one line asked, and at least so often.
LINE_S: Final = 9.0
LEAST_QUESTIONS: Final = 20
_PAGE: Final = "/api/v1/logs/query"
_HEX: Final = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of question: path and parameters without the range, made anew for each, over `width` of time.

    `asked_ms` is what the 95th percentile may be; `peer` are VictoriaLogs' p50 and p95 on the same machine and work.
    Where `may_be_partial`, an answer that says how far it came is bounded by `query.search_budget` instead.
    """

    name: str
    path: str
    parameters: Callable[[random.Random], dict[str, str]]
    asked_ms: float | None = None
    peer: tuple[float, float] | None = None
    width: timedelta = DAY
    may_be_partial: bool = False


def _always(**parameters: str) -> Callable[[random.Random], dict[str, str]]:
    return lambda _: parameters


def _page_of(filter_text: Callable[[random.Random], str]) -> Callable[[random.Random], dict[str, str]]:
    return lambda rng: {"limit": "50", "q": filter_text(rng)}


def _letters(rng: random.Random, number: int, letters: str = "bcdfghjklmnpqrstvwxz") -> str:
    return "".join(rng.choice(letters) for _ in range(number))


# The table, in its order; then what is not asked for and yet told.
LINES: Final = (
    Line("newest 50", _PAGE, _always(limit="50"), 10, (33, 55)),
    Line("newest 50 of two severities", _PAGE, _always(limit="50", severity="CRITICAL,HIGH"), 10, (71, 140)),
    Line("newest 50 of one source", _PAGE, _always(limit="50", source=SOURCE), 10, (8, 15)),
    Line(
        "an IP address that occurs",
        _PAGE,
        _page_of(lambda rng: f"192.0.2.{rng.randrange(RARE_EVENTS_A_DAY)}"),
        30,
        (254, 389),
    ),
    Line(
        "an IP address that does not occur",
        _PAGE,
        _page_of(lambda rng: f"100.64.{rng.randrange(256)}.{rng.randrange(256)}"),
        20,
        (266, 382),
    ),
    Line("a word that does not occur", _PAGE, _page_of(lambda rng: _letters(rng, 12)), 10, (2, 3)),
    Line("part of a word", _PAGE, _page_of(lambda rng: f"*{_letters(rng, 6, _HEX)}*"), 300, (200, 462), DAY, True),
    Line("count by severity per 15 minutes", "/api/v1/logs/histogram", _always(interval="15m"), 40, (57, 88)),
    Line(
        "top 10 sources, 7 days",
        "/api/v1/logs/top",
        _always(field="source", limit="10"),
        5,
        (3, 5),
        timedelta(days=7),
    ),
    Line("count", _PAGE, _always(limit="1"), 5, (4, 6)),
    Line("a word that occurs rarely", _PAGE, _page_of(lambda _: "quarantined")),
    Line("counts by severity and source, 7 days", "/api/v1/stats", _always(), width=timedelta(days=7)),
)
BY_ID: Final = Line("one event by id, 7 days", "/api/v1/logs/{id}", _always(), 3, (12, 15))


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of one line in milliseconds: of whole answers, of those that ended early and said so, of cached ones; and
    the time on a core of what was not cached, by the query API and its sessions in PostgreSQL together.
    """

    line: Line
    whole: tuple[float, ...]
    partial: tuple[float, ...]
    cached: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def p95(self) -> float:
        """Of the uncached ones."""
        return percentile(self.whole + self.partial, 0.95)

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None where nothing is asked."""
        if self.line.asked_ms is None:
            return None
        bound = self.whole if self.line.may_be_partial else self.whole + self.partial
        return not bound or percentile(bound, 0.95) <= self.line.asked_ms

    def words(self) -> str:
        """The figures as the report tells them."""
        asked = self.whole + self.partial
        told = f"p50 {percentile(asked, 0.5):.1f}, p95 {self.p95:.1f} ms"
        told += f"; CPU {percentile(self.cpu, 0.5):.1f} / {percentile(self.cpu, 0.95):.1f}"
        if self.cached:
            told += f"; cached {percentile(self.cached, 0.5):.2f} / {percentile(self.cached, 0.95):.2f}"
        if self.partial:
            told += f"; {len(self.partial) / len(asked):.0%} partial, saying so"
        return told

    def asked(self) -> str:
        """The bound, and the other's figures."""
        if self.line.asked_ms is None or self.line.peer is None:
            return ""
        bound = f"p95 {self.line.asked_ms:.0f} ms{', or partial' if self.line.may_be_partial else ''}"
        return f"{bound} (VictoriaLogs {self.line.peer[0]:.0f} / {self.line.peer[1]:.0f})"


class Ranges:
    """Every other one ends now, the others anywhere in the data."""

    def __init__(self, rng: random.Random, end: datetime) -> None:
        self._rng = rng
        self._end = end
        self._number = 0

    def next(self, width: timedelta) -> dict[str, str]:
        """The parameters of the next range."""
        self._number += 1
        end = datetime.now(UTC)
        if self._number % 2:
            end = self._end - timedelta(seconds=self._rng.random() * (SPAN - width).total_seconds())
        return {"start_time": rfc3339(end - width), "end_time": rfc3339(end)}


def measure(
    asker: Asker, lines: tuple[Line, ...], end: datetime, questions: int, cpu_ms: Callable[[], float]
) -> list[Measured]:
    """Each line, with a few questions before that do not count."""
    rng = random.Random()
    ranges = Ranges(rng, end)
    found = []
    for line in lines:

        def path(line: Line = line) -> str:
            return f"{line.path}?{urlencode({**ranges.next(line.width), **line.parameters(rng)})}"

        for _ in range(6):
            asker.ask(path())
        until_s = time.monotonic() + LINE_S
        whole: list[float] = []
        partial: list[float] = []
        cached: list[float] = []
        cpu: list[float] = []
        for number in range(questions):
            if number >= LEAST_QUESTIONS and time.monotonic() > until_s:
                break
            asked = path()
            before_ms = cpu_ms()
            took_ms, body = asker.ask(asked)
            cpu.append(cpu_ms() - before_ms)
            (partial if b'"scanned_until":"' in body else whole).append(took_ms)
            again_ms, body = asker.ask(asked)
            if b'"cached":true' in body[:20]:
                cached.append(again_ms)
        found.append(Measured(line, tuple(whole), tuple(partial), tuple(cached), tuple(cpu)))
    return found


def measure_ids(asker: Asker, ids: list[UUID], cpu_ms: Callable[[], float]) -> Measured:
    """One event by each id; nothing of it is cached."""
    times: list[float] = []
    cpu: list[float] = []
    for identifier in ids:
        before_ms = cpu_ms()
        times.append(asker.ask(BY_ID.path.format(id=identifier))[0])
        cpu.append(cpu_ms() - before_ms)
    return Measured(BY_ID, tuple(times[5:]), (), (), tuple(cpu[5:]))
