"""Notes when workers begin on partitions and end, and reads less at once where the ones before this one died early."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Final, Protocol

from stream_app.chunks import BufferedEvents
from stream_app.figures import StreamFigures
from stream_app.outcomes import StoreUnavailableError

log = logging.getLogger(__name__)
END_WITHIN_S: Final = 0.5

# A partition is given to another worker at once when its worker leaves the group, ten seconds after one that died was
# last heard of: in between lies whether it is silent. In one order, so that two workers never wait in a circle.
_BEGIN: Final = """
INSERT INTO partition_starts AS s (topic, partition, process)
SELECT $1, p, $3 FROM unnest($2::int[]) AS p ORDER BY p
ON CONFLICT (topic, partition) DO UPDATE SET
    process = excluded.process,
    began_at = CASE WHEN s.process = excluded.process THEN s.began_at ELSE excluded.began_at END,
    deaths = CASE
        WHEN s.began_at < clock_timestamp() - interval '5 minutes' THEN 0
        WHEN s.process = excluded.process THEN s.deaths
        WHEN s.process = '' OR EXISTS (
            SELECT FROM process_metrics AS m
            WHERE m.process = s.process AND m.updated_at > clock_timestamp() - interval '5 seconds'
        ) THEN s.deaths
        ELSE s.deaths + 1
    END
RETURNING partition, deaths"""
_END: Final = "UPDATE partition_starts SET process = '' WHERE topic = $1 AND process = $2"


class Store(Protocol):
    """What is needed of PostgreSQL. Raises StoreUnavailableError."""

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]: ...


class ShortLives:
    """A worker that is killed for its memory would be killed again at the same events, were they read in the same way.

    What kills it is not known, so any death within minutes counts. Whoever ends well, or still lives, did not die.
    """

    def __init__(
        self, store: Store, topic: str, process: str, buffered: BufferedEvents, figures: StreamFigures
    ) -> None:
        self._store = store
        self._topic = topic
        self._process = process
        self._buffered = buffered
        self._figures = figures

    async def begin(self, partitions: Collection[int]) -> None:
        """These are stored here from now on. Narrows what is read at once by how many died early at one of them."""
        try:
            rows = await self._store.fetch(_BEGIN, self._topic, list(partitions), self._process)
        except StoreUnavailableError as error:
            # It costs memory at worst.
            log.warning("could not note the begin of partitions", extra={"why": str(error)})
            return
        deaths = max((row["deaths"] for row in rows), default=0)
        self._buffered.narrow(deaths)
        self._figures.max_window_bytes.set(self._buffered.max_window_bytes)
        if deaths:
            log.warning(
                "workers before this one died within minutes: less is read at once",
                extra={
                    "deaths": deaths,
                    "partitions": sorted(row["partition"] for row in rows if row["deaths"] == deaths),
                    "max_window_bytes": self._buffered.max_window_bytes,
                },
            )

    async def end(self) -> None:
        """This worker ends well. Within END_WITHIN_S, or not noted."""
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self._store.fetch(_END, self._topic, self._process)
        except (StoreUnavailableError, TimeoutError) as error:
            log.warning("could not note the end of this worker", extra={"why": str(error) or "no answer in time"})
