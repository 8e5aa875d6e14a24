"""Exports that are interrupted: by their reader, by whoever cancels, by PostgreSQL, by the end of the process."""

from __future__ import annotations

import io
import random
import signal
import urllib.request
from collections.abc import Iterator

import asyncpg
import pyarrow.parquet as pq
import pytest

from query_api.reading import LoggedEvent
from tests.conftest import MakeStack
from tests.integration.query_api.exporting import (
    Download,
    cancel,
    large_events,
    lines_of,
    made,
    newest_first,
    read,
    refused,
    status_of,
)
from tests.integration.query_api.running import QueryApi, fill, filled, killed, start_query
from tests.processes import Spawner, spawning, wait_until
from tests.servers import Stack, StackMaker, run_now
from tests.stored_events import store_events
from tests.unit.query_api.builders import logged_event

pytestmark = pytest.mark.integration

# More than two pieces and all that the buffers of a connection take.
EVENTS = large_events(random.Random(3), 500)
FILE = lines_of(newest_first(EVENTS))
MIB = 1 << 20
_SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'threatlog-query' AND datname = current_database()"
    " AND state <> 'idle'"
)


@pytest.fixture(scope="module")
def stack(stack_maker: StackMaker) -> Iterator[Stack]:
    with filled(stack_maker, EVENTS) as made_stack:
        yield made_stack


@pytest.fixture(scope="module")
def shared(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryApi]:
    with spawning(tmp_path_factory.mktemp("logs")) as spawn:
        yield start_query(spawn, stack, THREATLOG_QUERY_MAX_EXPORTS="2")


@pytest.fixture
def api(shared: QueryApi) -> QueryApi:
    """When no other test's export is sent any more."""

    def is_free() -> bool:
        return shared.get("/health")[0] == 200 and sent_now(shared) == 0

    wait_until(is_free, 30, "no export is sent")
    return shared


def sent_now(api: QueryApi) -> float:
    """How many exports the process sends."""
    with urllib.request.urlopen(f"{api.url}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    (line,) = (line for line in text.splitlines() if line.startswith("threatlog_exports_running "))
    return float(line.split()[1])


def test_a_broken_connection_goes_on_where_it_broke(api: QueryApi) -> None:
    export = made(api)
    part = Download(api, export)
    data = part.read(9 * MIB + 12345)
    part.close()
    wait_until(lambda: status_of(api, export)["status"] == "interrupted", 20, "it is noted")
    assert status_of(api, export)["reason"] == "the reader closed the connection"
    again = Download(api, export, f"?from_byte={len(data)}")
    data += again.read(7 * MIB)
    again.close()
    data += read(api, export, f"?from_byte={len(data)}")
    assert data == FILE
    assert status_of(api, export) | {"updated_at": None} == status_of(api, export) | {
        "status": "completed",
        "reason": None,
        "bytes": len(FILE),
        "rows": len(EVENTS),
        "updated_at": None,
    }


def test_a_late_event_within_a_piece_is_said_and_the_cut_file_goes_on(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack()
    fill(stack, EVENTS[:200])
    api = start_query(spawn, stack)
    export = made(api)
    part = Download(api, export)
    data = part.read(6 * MIB)
    part.close()
    second = next(event for event in newest_first(EVENTS[:200]) if data.rfind(event.message[:9].encode()) > 5 * MIB)
    late = replace_time(logged_event(900, message="late"), second)
    run_now(store(stack, [late]))
    problem = refused(api, export, f"?from_byte={len(data)}")
    assert (problem["status"], problem["code"]) == (409, "export_changed")
    assert 0 < problem["resume_at"] < len(data)
    whole = data[: problem["resume_at"]] + read(api, export, f"?from_byte={problem['resume_at']}")
    assert whole == lines_of(newest_first([*EVENTS[:200], late]))
    assert whole == read(api, made(api))


def replace_time(event: LoggedEvent, other: LoggedEvent) -> LoggedEvent:
    """The event at the other's time."""
    return logged_event(901, timestamp=other.timestamp, message=event.message)


async def store(stack: Stack, events: list[LoggedEvent]) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn)
    await store_events(connection, events)
    await connection.close()


def test_a_cancelled_export_breaks_off_and_is_gone(api: QueryApi) -> None:
    export = made(api)
    part = Download(api, export)
    part.read(MIB)
    assert cancel(api, export)["status"] == "cancelled"
    assert not part.rest()
    assert len(part.data) < len(FILE)
    assert FILE.startswith(part.data)
    assert refused(api, export)["code"] == "export_cancelled"
    assert status_of(api, export)["status"] == "cancelled"


def test_who_does_not_read_holds_no_connection_and_takes_no_more_than_its_place(stack: Stack, api: QueryApi) -> None:
    slow = [Download(api, made(api)) for _ in range(2)]
    refusal = refused(api, made(api))
    assert (refusal["status"], refusal["code"], refusal["retryable"]) == (503, "too_many_exports", True)

    async def busy() -> int:
        connection = await asyncpg.connect(stack.postgres_dsn)
        found: int = await connection.fetchval(_SESSIONS)
        await connection.close()
        return found

    wait_until(lambda: run_now(busy()) == 0, 20, "no session is open")
    assert api.page()["total"] == len(EVENTS)
    assert slow[0].rest()
    assert slow[0].data == FILE
    slow[1].close()
    wait_until(lambda: sent_now(api) == 0, 20, "both have ended")


def test_postgresql_killed_in_the_middle_makes_the_file_late(stack: Stack, api: QueryApi) -> None:
    export = made(api)
    part = Download(api, export)
    part.read(MIB)
    with killed(stack.servers.postgres):
        part.read(2 * MIB)
    assert part.rest()
    assert part.data == FILE


def test_a_stopping_process_breaks_off_and_another_one_goes_on(stack: Stack, api: QueryApi, spawn: Spawner) -> None:
    other = start_query(spawn, stack)
    export = made(other)
    part = Download(other, export)
    part.read(5 * MIB)
    other.process.child.send(signal.SIGTERM)
    assert other.process.wait_exit(10) == 0
    assert not part.rest()
    assert FILE.startswith(part.data)
    assert part.data + read(api, export, f"?from_byte={len(part.data)}") == FILE
    assert "Traceback" not in other.process.log_text()


def test_a_killed_process_leaves_what_another_one_goes_on_from(stack: Stack, api: QueryApi, spawn: Spawner) -> None:
    other = start_query(spawn, stack)
    export = made(other, compression="gzip", format="csv")
    part = Download(other, export)
    part.read(2 * MIB)
    other.process.child.send(signal.SIGKILL)
    assert not part.rest()
    assert part.data + read(api, export, f"?from_byte={len(part.data)}") == read(api, export)


def test_parts_of_parquet_are_files_and_together_the_whole(api: QueryApi) -> None:
    messages = [event.message for event in newest_first(EVENTS)]
    export = made(api, format="parquet")
    assert refused(api, export, "?part=1")["code"] == "part_not_reached"
    assert messages_in(read(api, export)) == messages
    again = made(api, format="parquet")
    parts = [read(api, again, "?part=0")]
    assert status_of(api, again)["status"] == "running"
    cut = Download(api, again, "?part=1")
    cut.read(MIB)
    cut.close()
    parts.append(read(api, again, "?part=1"))
    assert refused(api, again, "?part=2")["code"] == "no_such_part"
    assert (status_of(api, again)["status"], status_of(api, again)["parts"]) == ("completed", 2)
    assert [message for part in parts for message in messages_in(part)] == messages
    assert all(messages_in(part) for part in parts)


def messages_in(data: bytes) -> list[str]:
    """Of a file of Parquet."""
    found: list[str] = pq.read_table(io.BytesIO(data)).column("message").to_pylist()
    return found
