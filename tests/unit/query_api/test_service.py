"""Which answers are kept for long, and which for a moment."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from ingest_gateway.contract import unix_us
from query_api.completeness import Completeness, Lag, completeness
from query_api.page_cache import CachePolicy, PageCache
from query_api.positions import StoredUntil
from query_api.recent_lists import RecentReader
from query_api.search import PageRequest
from query_api.service import QueryService
from query_api.telemetry import QueryFigures
from tests.fakes.memory_pages import MemoryPages
from tests.fakes.memory_reader import MemoryReader
from tests.unit.query_api.builders import NOON, Clock, logged_event, moment, search_filter
from tests.unit.query_api.test_recent_lists import Lists

HOUR_S = 3600.0


class KnownLag:
    """What is known about completeness."""

    def completeness(self, stored_until_us: StoredUntil) -> Completeness:
        return completeness(stored_until_us, None)

    def lag(self) -> Lag:
        return Lag(0, NOON, stale=False)


def service_over(reader: MemoryReader, clock: Clock) -> QueryService:
    """A service that keeps answers for a minute, and those of open ranges for a second."""
    figures = QueryFigures(CollectorRegistry())
    cache = PageCache(MemoryPages(clock), CachePolicy(True, 60.0, 1.0, 1 << 20), clock, figures)
    recent = RecentReader(Lists([]), reader, lambda: {0}, lambda: moment(100))
    return QueryService(reader, recent, cache, KnownLag(), figures.rows_given)


@pytest.mark.parametrize(
    ("stored_until_s", "is_kept"),
    [
        pytest.param(HOUR_S - 1, False, id="still filling"),
        pytest.param(HOUR_S + 1, False, id="ended a moment ago"),
        pytest.param(HOUR_S + 61, True, id="ended a while ago"),
    ],
)
async def test_an_answer_is_kept_for_long_only_when_its_range_has_been_over_for_a_while(
    stored_until_s: float, is_kept: bool
) -> None:
    clock = Clock()
    reader = MemoryReader([logged_event(1)], {0: unix_us(moment(stored_until_s))})
    service = service_over(reader, clock)
    request = PageRequest(search_filter(), 100, 0, None)
    await service.page(request)
    clock.now_s += 5.0
    assert msgspec.json.decode(await service.page(request))["cached"] is is_kept
