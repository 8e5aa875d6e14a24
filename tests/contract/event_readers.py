"""The event readers that must promise the same: the one in memory and the one over PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from ingest_gateway.contract import unix_us
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.reading import EventPage, EventReader, LoggedEvent
from tests.conftest import MakeStack
from tests.fakes.memory_reader import MemoryReader
from tests.stored_events import store_events, store_positions
from tests.unit.query_api.builders import NOON, moment

LATE = NOON + timedelta(hours=1)
UNTIL = {0: moment(5000), 1: moment(6000)}


@dataclass(frozen=True, slots=True)
class Subject:
    """How to make a reader over given events."""

    name: str
    make_stack: MakeStack | None

    @asynccontextmanager
    async def over(self, events: Sequence[LoggedEvent]) -> AsyncIterator[EventReader]:
        if self.make_stack is None:
            yield MemoryReader(events, {partition: unix_us(until) for partition, until in UNTIL.items()})
            return
        stack = self.make_stack(partitions=1)
        connection = await asyncpg.connect(stack.postgres_dsn)
        await store_events(connection, events)
        await store_positions(connection, stack.settings.kafka.topic, UNTIL)
        await connection.close()
        made = await connections(stack.postgres_of("query"), 5.0)
        reader = PostgresReader(made, stack.settings.kafka.topic, ReaderMemory.empty(time.monotonic))
        try:
            yield reader
        finally:
            await reader.close(5.0)


READERS = ("memory", pytest.param("postgres", marks=pytest.mark.integration))


def subject_of(request: pytest.FixtureRequest) -> Subject:
    """The subject of a fixture with the parameters READERS."""
    return Subject(request.param, request.getfixturevalue("make_stack") if request.param == "postgres" else None)


def messages(page: EventPage) -> list[str]:
    """In the order of the page."""
    return [event.message for event in page.events]
