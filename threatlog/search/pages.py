"""Walks through all pages of a search, one in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from threatlog.search.query_api import Page

MOST_OF_A_PAGE: Final = 1_000


class Pages(Protocol):
    """Gives one page."""

    def page(self, parameters: Mapping[str, str]) -> Page: ...


@dataclass(slots=True)
class Progress:
    """What came of a search: how many events, whether there are more, and how complete the first page was."""

    events: int = 0
    has_more: bool = False
    total: int | None = None
    complete_until: datetime | None = None
    incomplete_reason: str | None = None


def events(
    api: Pages,
    wanted: Mapping[str, str],
    limit: int | None,
    progress: Progress,
    looked_back: Callable[[datetime], None] = lambda _: None,
) -> Iterator[bytes]:
    """Events newest first, at most `limit`. Where a search ended before a page was full it goes on by itself.

    `looked_back` is told how far it came then.
    """
    cursor: dict[str, str] = {}
    while limit is None or progress.events < limit:
        most = MOST_OF_A_PAGE if limit is None else min(limit - progress.events, MOST_OF_A_PAGE)
        page = api.page({**wanted, **cursor, "limit": str(most)})
        if not cursor:
            progress.total = page.total
            progress.complete_until, progress.incomplete_reason = page.complete_until, page.incomplete_reason
        for encoded in page.logs:
            progress.events += 1
            yield bytes(encoded)
        progress.has_more = page.next_cursor is not None
        if page.next_cursor is None:
            return
        if page.scanned_until is not None:
            looked_back(page.scanned_until)
        cursor = {"cursor": page.next_cursor}
