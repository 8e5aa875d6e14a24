"""Whether PostgreSQL answers or not, no worker waits long for what it keeps of early deaths."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream_app.chunks import MAX_BUFFERED_BYTES, MAX_WINDOW_BYTES, BufferedEvents
from stream_app.figures import StreamFigures
from stream_app.outcomes import StoreUnavailableError
from stream_app.short_lives import END_WITHIN_S, ShortLives


class Rows:
    """A store that answers the same to everything, or is in trouble, or hangs."""

    def __init__(self, rows: list[dict[str, int]], trouble: Exception | None = None, *, hangs: bool = False) -> None:
        self.rows, self.trouble, self.hangs = rows, trouble, hangs

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:  # noqa: ARG002
        if self.hangs:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble
        return self.rows


def lives(store: Rows, buffered: BufferedEvents) -> ShortLives:
    figures = StreamFigures(CollectorRegistry(), time.time, lambda: range(0))
    return ShortLives(store, "events", "process", buffered, figures)


async def test_what_is_read_at_once_follows_the_partition_with_most_deaths(caplog: pytest.LogCaptureFixture) -> None:
    buffered = BufferedEvents()
    rows = [{"partition": number, "deaths": deaths} for number, deaths in enumerate((0, 2, 1, 2))]
    await lives(Rows(rows), buffered).begin([0, 1, 2, 3])

    assert (buffered.max_bytes, buffered.max_window_bytes) == (MAX_BUFFERED_BYTES // 64, MAX_WINDOW_BYTES // 64)
    (said,) = caplog.records
    assert (said.levelno, said.__dict__["partitions"], said.__dict__["deaths"]) == (logging.WARNING, [1, 3], 2)


async def test_without_deaths_the_caps_are_the_usual_ones_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    buffered = BufferedEvents()
    buffered.narrow(5)
    await lives(Rows([{"partition": 0, "deaths": 0}]), buffered).begin([0])

    assert (buffered.max_bytes, buffered.max_window_bytes) == (MAX_BUFFERED_BYTES, MAX_WINDOW_BYTES)
    assert not caplog.records


async def test_while_postgresql_is_away_the_caps_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    buffered = BufferedEvents()
    buffered.narrow(1)
    there = lives(Rows([], StoreUnavailableError("away")), buffered)
    await there.begin([0])
    await there.end()

    assert buffered.max_window_bytes == MAX_WINDOW_BYTES // 8
    assert [record.message for record in caplog.records] == [
        "could not note the begin of partitions",
        "could not note the end of this worker",
    ]


async def test_an_end_waits_for_nobody() -> None:
    began_s = time.monotonic()
    await lives(Rows([], hangs=True), BufferedEvents()).end()

    assert time.monotonic() - began_s < END_WITHIN_S + 2
