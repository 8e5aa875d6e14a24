"""Answers the questions of analysts: what is read, how complete it is, and what of it is kept for the next one."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from query_api import answers
from query_api.aggregation import HistogramRequest, TopRequest
from query_api.aggregation_answers import histogram_body, top_body
from query_api.completeness import Completeness, Lag
from query_api.departure import AtOnce
from query_api.fields import FacetsRequest, FieldsRequest
from query_api.fields_answers import facets_body, fields_body, fields_with_prefix
from query_api.fields_parameters import FieldsQuestion
from query_api.filter_language.expressions import Attribute
from query_api.page_cache import Made, PageCache
from query_api.parameters import ContextRequest, RecentRequest
from query_api.positions import StoredUntil
from query_api.reading import EventReader
from query_api.recent_lists import RecentReader
from query_api.scan import DEFAULT_POLICY
from query_api.search import PageRequest, SearchFilter
from threatlog.process.problems import Problem

# Senders and their retries are behind by some seconds: a range that ended just now is still filling, and whoever waits
# for its last events must not be given the same answer for the whole of `cache.ttl`.
SETTLED_AFTER: Final = timedelta(seconds=60)
# Counted up when what is kept under a key changes its form: processes of two versions share one Redis for a while.
_KEPT_FORM: Final = 4
_Question = PageRequest | SearchFilter | HistogramRequest | TopRequest | FieldsRequest | FacetsRequest


class LagView(Protocol):
    """What is known about completeness without asking anyone."""

    def completeness(self, stored_until_us: StoredUntil) -> Completeness: ...
    def lag(self) -> Lag: ...


@dataclass(frozen=True, slots=True)
class QueryService:
    """Each method returns a finished JSON body. Raises what EventReader raises, and Problem."""

    events: EventReader
    recent_events: RecentReader
    cache: PageCache
    lag: LagView
    rows_given: Callable[[int], None]
    budget_s: float = DEFAULT_POLICY.budget_s

    def page(self, request: PageRequest) -> Awaitable[bytes]:
        """One page of a range."""

        async def make() -> Made:
            page = await self.events.page(request)
            self.rows_given(len(page.events))
            complete = self.lag.completeness(page.stored_until_us)
            body = answers.page_body(request, page, complete)
            return Made(body, _is_closed(complete, request.filter.end))

        return self._answered("page", request, make, is_costly=request.filter.reads_events)

    def stats(self, wanted: SearchFilter) -> Awaitable[bytes]:
        """Counts of a range."""

        async def make() -> Made:
            counts = await self.events.stats(wanted)
            complete = self.lag.completeness(counts.stored_until_us)
            body = answers.stats_body(wanted, counts, complete)
            return Made(body, _is_closed(complete, wanted.end))

        return self._answered("stats", wanted, make, is_costly=wanted.reads_events)

    def histogram(self, request: HistogramRequest) -> Awaitable[bytes]:
        """Counts over time."""

        async def make() -> Made:
            histogram = await self.events.histogram(request)
            complete = self.lag.completeness(histogram.stored_until_us)
            body = histogram_body(request, histogram, complete)
            return Made(body, _is_closed(complete, request.filter.end))

        return self._answered("histogram", request, make, is_costly=request.filter.reads_events)

    def top(self, request: TopRequest) -> Awaitable[bytes]:
        """The most frequent values of a field."""

        async def make() -> Made:
            found = await self.events.top(request)
            complete = self.lag.completeness(found.stored_until_us)
            return Made(top_body(request, found, complete), _is_closed(complete, request.filter.end))

        is_costly = request.filter.reads_events or isinstance(request.field, Attribute)
        return self._answered("top", request, make, is_costly=is_costly)

    async def fields(self, question: FieldsQuestion) -> bytes:
        """The fields of events. All of them are kept, so that whoever types a name has them searched once."""
        request = question.request

        async def make() -> Made:
            found = await self.events.fields(request)
            complete = self.lag.completeness(found.stored_until_us)
            return Made(fields_body(request, found, complete), _is_closed(complete, request.filter.end))

        answer = await self.cache.answer(_key("fields", request), make, is_costly=True)
        body = fields_with_prefix(answer.body, question.prefix, question.limit)
        return answers.marked(replace(answer, body=body), self.lag.lag())

    def facets(self, request: FacetsRequest) -> Awaitable[bytes]:
        """The most frequent values of several fields."""

        async def make() -> Made:
            found = await self.events.facets(request)
            complete = self.lag.completeness(found.stored_until_us)
            return Made(facets_body(request, found, complete), _is_closed(complete, request.filter.end))

        return self._answered("facets", request, make, is_costly=True)

    def _answered(
        self, kind: str, question: _Question, make: Callable[[], Awaitable[Made]], *, is_costly: bool
    ) -> Awaitable[bytes]:
        """What is kept, or made now; costly is what looks at events, not at their counts."""
        key = _key(kind, question)
        kept = self.cache.kept(key)
        return self._made(key, make, is_costly) if kept is None else AtOnce(answers.marked(kept, self.lag.lag()))

    async def _made(self, key: str, make: Callable[[], Awaitable[Made]], is_costly: bool) -> bytes:
        return answers.marked(await self.cache.answer(key, make, is_costly=is_costly), self.lag.lag())

    async def explain(self, wanted: SearchFilter) -> bytes:
        """How a filter is understood, and what answering it costs."""
        price = await self.events.price(wanted)
        complete = self.lag.completeness(price.stored_until_us)
        return answers.price_body(wanted, price, self.budget_s, complete, self.lag.lag())

    async def recent(self, request: RecentRequest) -> bytes:
        """The newest events."""
        recent = await self.recent_events.recent(request.severities, request.limit)
        return answers.recent_body(recent, self.lag.completeness(recent.stored_until_us), self.lag.lag())

    async def context(self, request: ContextRequest) -> bytes:
        """An event with those around it. Raises Problem 404."""
        event, stored_until_us = await self.events.event(request.id, request.ts)
        if event is None:
            raise self._absent(request.id, stored_until_us)
        context = await self.events.context(event, request.before, request.after)
        return answers.context_body(event, context, self.lag.completeness(context.stored_until_us), self.lag.lag())

    async def event(self, identifier: UUID, ts: datetime | None) -> bytes:
        """One event. Raises Problem 404 that says how complete this answer is."""
        event, stored_until_us = await self.events.event(identifier, ts)
        if event is None:
            raise self._absent(identifier, stored_until_us)
        return answers.event_body(event, self.lag.completeness(stored_until_us), self.lag.lag())

    def _absent(self, identifier: UUID, stored_until_us: StoredUntil) -> Problem:
        """404, with how complete that is."""
        complete = self.lag.completeness(stored_until_us)
        until = complete.complete_until
        moment = None if until is None else until.isoformat().replace("+00:00", "Z")
        known = f"everything accepted before {moment}" if moment else "what is stored so far"
        return Problem(
            404,
            "event_not_found",
            f"no event with id {identifier} in {known}",
            extra={
                "complete_until": moment,
                "incomplete_reason": complete.reason,
                "lag": msgspec.to_builtins(self.lag.lag()),
            },
        )


def _is_closed(complete: Completeness, end: datetime) -> bool:
    """Whether only events that come late, by their own time, can still change an answer about this range."""
    return complete.complete_until is not None and complete.complete_until >= end + SETTLED_AFTER


def _key(kind: str, question: _Question) -> str:
    digest = hashlib.blake2b(f"{kind} {question!r}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{_KEPT_FORM}:{digest}"
