"""Records produced straight to Kafka: each a row or a dead letter, and none costs its neighbours anything."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from tests.fakes.kafka_records import event_json
from tests.integration.stream_app.workers import RedisKeysOf, Tables, Topic, Worker, fetch_text, sum_of
from tests.processes import Spawned, eventually
from tests.servers import Stack, StackMaker

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shared_stack(stack_maker: StackMaker) -> Iterator[Stack]:
    """One stack for all tests here: each writes records of its own and looks for those."""
    made = stack_maker.make(2, {})
    yield made
    stack_maker.remove(made)


@pytest.fixture(scope="module")
def worker(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for all tests here."""
    folder: Path = tmp_path_factory.mktemp("worker")

    def start(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Spawned:
        return Spawned(name, (sys.executable, *arguments), folder / f"{name}.log", environment)

    started = Worker(start, shared_stack)
    asyncio.run(started.ready())
    yield started
    started.child.stop(10.0)


async def rows_of(stack: Stack, source: str, count: int) -> list[dict[str, object]]:
    """Waits for `count` rows of a source."""

    async def found() -> list[dict[str, object]]:
        rows = await Tables(stack).fetch("SELECT * FROM logs WHERE source = $1 ORDER BY message", source)
        return [dict(row) for row in rows] if len(rows) >= count else []

    rows = await eventually(found, f"{count} rows of {source}")
    assert len(rows) == count
    return rows


async def test_what_cannot_be_stored_is_a_dead_letter_and_its_neighbours_are_rows(
    shared_stack: Stack, worker: Worker
) -> None:
    topic = Topic(shared_stack)
    bad: dict[str, bytes | None] = {
        "not_json": b"\xff\xfenot json",
        "wrong_type": event_json(message=7),
        "missing_field": b"{}",
        "bad_severity": event_json(severity="URGENT"),
        "message_too_large": event_json(message="x" * (256 * 1024 + 1)),
        "event_too_large": event_json() + b" " * (512 * 1024),
        "null_value": None,
        "nul_character": event_json(message="a\0b"),
        "unknown_field": b'{"severity":"LOW","source":"s","message":"m","a\\u0000b":1}',
        "bad_timestamp": event_json(received_at="0001-01-01T00:00:00+23:59"),
    }
    values: list[bytes | None] = []
    for number, value in enumerate(bad.values()):
        values += [event_json(source="neighbour", message=f"{number}"), value]
    offsets = await topic.produce(values, 1, key=b"\0k")

    await rows_of(shared_stack, "neighbour", len(bad))
    letters = await Tables(shared_stack).fetch('SELECT * FROM dead_letters ORDER BY "offset"')
    assert [letter["reason"] for letter in letters] == list(bad)
    assert [letter["payload"] for letter in letters] == list(bad.values())
    assert [letter["offset"] for letter in letters] == offsets[1::2]
    assert {(letter["topic"], letter["partition"], letter["key"]) for letter in letters} == {(topic.name, 1, b"\0k")}
    assert await worker.metric("threatlog_worker_dlq_events_total") == len(bad)


async def test_a_record_with_neither_id_nor_timestamp_has_the_append_time_and_an_id_of_its_own(
    shared_stack: Stack, worker: Worker
) -> None:
    before = time.time()
    await Topic(shared_stack).produce([event_json(source="bare", message=str(n)) for n in range(3)])

    rows = await rows_of(shared_stack, "bare", 3)
    assert all(row["ts"] == row["received_at"] for row in rows)
    assert all(before - 1 < row["ts"].timestamp() < time.time() + 1 for row in rows)  # type: ignore[attr-defined]
    assert len({row["id"] for row in rows}) == 3
    assert {UUID(str(row["id"])).version for row in rows} == {8}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read(shared_stack: Stack, worker: Worker, codec: str) -> None:
    events: list[bytes | None] = [event_json(source=codec, message=f"{n:03}") for n in range(50)]
    await Topic(shared_stack).produce(events, compression_type=codec)

    assert [row["message"] for row in await rows_of(shared_stack, codec, 50)] == [f"{n:03}" for n in range(50)]


async def test_a_repeated_id_is_stored_once_whenever_it_comes(shared_stack: Stack, worker: Worker) -> None:
    same = {"id": "019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50", "source": "repeated", "timestamp": "2026-11-24T10:00:00Z"}
    topic = Topic(shared_stack)
    await topic.produce([event_json(**same, message="a"), event_json(**same, message="b")])
    await rows_of(shared_stack, "repeated", 1)
    await topic.produce([event_json(**same, message="c"), event_json(source="after-repeated")])
    await rows_of(shared_stack, "after-repeated", 1)

    assert [row["message"] for row in await rows_of(shared_stack, "repeated", 1)] == ["a"]


async def test_attributes_stay_as_they_came(shared_stack: Stack, worker: Worker) -> None:
    text = b'{ "b" : 1.50, "a":"\\u00fc" }'
    value = b'{"severity":"LOW","source":"attributes","message":"m","attributes":' + text + b"}"
    await Topic(shared_stack).produce([value])

    assert [str(row["attributes"]).encode() for row in await rows_of(shared_stack, "attributes", 1)] == [text]


async def test_events_outside_every_partition_stand_in_the_default_one_and_are_counted(
    shared_stack: Stack, worker: Worker
) -> None:
    stamps = ["1999-01-01T00:00:00Z", "2150-01-01T00:00:00Z", None]
    await Topic(shared_stack).produce(
        [event_json(source="far", message=str(n), timestamp=s) for n, s in enumerate(stamps)]
    )

    await rows_of(shared_stack, "far", 3)
    tables = await Tables(shared_stack).fetch(
        "SELECT message, tableoid::regclass::text AS name FROM logs WHERE source = 'far' ORDER BY message"
    )
    assert [row["name"] for row in tables[:2]] == ["logs_default"] * 2
    assert tables[2]["name"].startswith("logs_20")
    assert await worker.metric("threatlog_worker_default_partition_events_total") >= 2


async def test_a_window_mostly_of_bad_records_is_kept_and_said_loudly(shared_stack: Stack, worker: Worker) -> None:
    before = await Tables(shared_stack).value("SELECT count(*) FROM dead_letters")
    await Topic(shared_stack).produce([b"broken deployment"] * 200)

    async def kept() -> bool:
        return bool(await Tables(shared_stack).value("SELECT count(*) FROM dead_letters") == before + 200)

    await eventually(kept, "200 more dead letters")
    assert await worker.metric("threatlog_worker_mostly_bad_windows_total") >= 1
    assert "most of a window cannot be stored" in worker.process.log_text()


async def test_redis_equals_the_tables(shared_stack: Stack, worker: Worker) -> None:
    await Topic(shared_stack).produce_events(30, 1, source="mirrored")
    await rows_of(shared_stack, "mirrored", 30)

    await eventually(lambda: RedisKeysOf(shared_stack).equals(Tables(shared_stack)), "Redis equals the tables")
    await Tables(shared_stack).assert_rollups_equal_rows()


async def test_at_the_end_of_a_partition_the_stored_time_goes_on_moving(shared_stack: Stack, worker: Worker) -> None:
    tables = Tables(shared_stack)

    async def all_recent() -> bool:
        return bool(
            await tables.value("SELECT count(*) = 2 FROM consumer_offsets WHERE stored_until > now() - interval '3 s'")
        )

    first = await tables.value("SELECT min(stored_until) FROM consumer_offsets")
    await eventually(all_recent, "both partitions stored until just now")

    async def moved() -> bool:
        return bool(await tables.value("SELECT min(stored_until) FROM consumer_offsets") > first)

    await eventually(moved, "the time moves on")


async def test_the_worker_reports_its_figures(shared_stack: Stack, worker: Worker) -> None:
    tables = Tables(shared_stack)
    await Topic(shared_stack).produce_events(5, source="reported")
    await rows_of(shared_stack, "reported", 5)

    async def reported() -> bool:
        counters = "(counters->>'stored_events')::int, (counters->>'ingestion_latency_ms_count')::int, role"
        (row,) = await tables.fetch(f"SELECT {counters} FROM process_metrics")
        return tuple(row) == (await tables.count(), await tables.count(), "stream")

    await eventually(reported, "process_metrics counts every row")


async def test_metrics_and_probes_are_served(shared_stack: Stack, worker: Worker) -> None:
    status, body = await worker.health()
    text = await asyncio.to_thread(fetch_text, worker.url("/metrics"))

    assert (status, body) == (200, {"status": "healthy", "consumer_group": "ok", "postgres": "ok"})
    assert sum_of(text, "threatlog_worker_assigned_partitions") == 2
    assert sum_of(text, "threatlog_worker_stored_events_total") == await Tables(shared_stack).count()
    assert sum_of(text, "process_cpu_seconds_total") > 0
    # Nothing that a sender writes is a label.
    assert "neighbour" not in text
    assert "web-01" not in text
