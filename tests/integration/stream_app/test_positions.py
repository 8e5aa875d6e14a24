"""PostgreSQL says where a worker reads on, whatever the group, the log or the database itself went through."""

from __future__ import annotations

import asyncio
from functools import partial

import asyncpg
import pytest
from aiokafka.admin import NewTopic

from tests.conftest import MakeStack
from tests.integration.stream_app.workers import RedisKeysOf, Tables, Topic, Worker
from tests.processes import Spawner, eventually
from tests.servers import Stack
from threatlog.process.exit_codes import EXIT_BUG

pytestmark = pytest.mark.integration


async def stop(worker: Worker) -> None:
    """Ends it in order, so that it leaves the group."""
    assert await asyncio.to_thread(worker.child.stop, 12.0) == 0


@pytest.mark.parametrize("groups", ["unknown", "at the beginning", "at the end"])
async def test_wherever_the_group_stands_postgresql_says_where_to_read_on(
    make_stack: MakeStack, spawn: Spawner, groups: str
) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    await topic.produce_events(20)
    await tables.fetch(
        "INSERT INTO consumer_offsets (topic, partition, next_offset, stored_until, worker)"
        " VALUES ($1, 0, 15, to_timestamp(0), 'the last one')",
        topic.name,
    )
    if groups != "unknown":
        await topic.commit(stack.settings.kafka.consumer_group, 0 if groups == "at the beginning" else 20)

    worker = await Worker(spawn, stack).ready()
    await tables.wait_count(5)

    assert await tables.offsets() == {0: 20}
    assert await tables.messages() == [f"0-{n}" for n in range(15, 20)]
    assert await worker.metric("threatlog_worker_duplicate_events_total") == 0


async def test_a_restored_database_is_filled_again_exactly_once_while_the_worker_runs(
    stack: Stack, spawn: Spawner
) -> None:
    topic, tables = Topic(stack), Tables(stack)
    worker = await Worker(spawn, stack).ready()
    for partition in range(4):
        await topic.produce_events(10, partition)
    await tables.wait_count(40)
    # As a backup of that moment would have it: rows, counts and positions together.
    backup = await tables.offsets()
    await tables.fetch("CREATE TABLE kept AS SELECT * FROM logs")
    for partition in range(4):
        await topic.produce_events(25, partition, source="after-the-backup")
    await tables.wait_count(140)
    await tables.fetch(
        "DO $$ BEGIN"
        " DELETE FROM logs WHERE id NOT IN (SELECT id FROM kept);"
        " DELETE FROM log_rollup_minute WHERE source = 'after-the-backup';"
        " DELETE FROM log_rollup_hour WHERE source = 'after-the-backup';"
        " DELETE FROM log_rollup_total WHERE source = 'after-the-backup';"
        " TRUNCATE log_count_minute, log_count_hour;"
        " INSERT INTO log_count_minute SELECT bucket, severity, sum(n) FROM log_rollup_minute GROUP BY 1, 2;"
        " INSERT INTO log_count_hour SELECT bucket, severity, sum(n) FROM log_rollup_hour GROUP BY 1, 2;"
        " UPDATE consumer_offsets SET next_offset = 10, counted_offset = 10;"
        " END $$"
    )
    assert set(backup.values()) == {10}

    # The next record of each partition is what shows the gap.
    for partition in range(4):
        await topic.produce_events(1, partition, source="after-the-restore")
    await tables.wait_count(144)

    assert await tables.offsets() == dict.fromkeys(range(4), 36)
    await tables.assert_rollups_equal_rows()
    assert await tables.value("SELECT count(*) FROM offset_gaps") == 0
    assert worker.child.running
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")


async def test_an_emptied_database_is_filled_from_the_beginning_of_the_log(
    make_stack: MakeStack, spawn: Spawner
) -> None:
    stack = make_stack(partitions=2)
    topic, tables = Topic(stack), Tables(stack)
    worker = await Worker(spawn, stack).ready()
    for partition in range(2):
        await topic.produce_events(30, partition)
    await tables.wait_count(60)
    await tables.fetch(
        "TRUNCATE logs, consumer_offsets, log_rollup_minute, log_rollup_hour, log_rollup_total, log_count_minute,"
        " log_count_hour"
    )

    for partition in range(2):
        await topic.produce_events(1, partition)
    await tables.wait_count(62)

    await tables.assert_rollups_equal_rows()
    assert worker.child.running


async def test_what_kafka_no_longer_has_is_counted_exactly_and_the_rest_is_stored(
    make_stack: MakeStack, spawn: Spawner
) -> None:
    stack = make_stack(partitions=2)
    topic, tables = Topic(stack), Tables(stack)
    await topic.produce_events(10, 0)
    await topic.produce_events(3, 1)
    first = await Worker(spawn, stack).ready()
    await tables.wait_count(13)
    await stop(first)
    await topic.produce_events(20, 0, source="lost-in-part")
    await topic.delete_before(17, 0)

    second = await Worker(spawn, stack).ready()
    await tables.wait_count(13 + 13)

    gaps = await tables.fetch("SELECT topic, partition, from_offset, to_offset FROM offset_gaps")
    assert [tuple(gap) for gap in gaps] == [(topic.name, 0, 10, 17)]
    assert await second.metric("threatlog_worker_offset_gap_events_total") == 7
    assert "Kafka no longer had records" in second.process.log_text()
    assert await tables.offsets() == {0: 30, 1: 3}


async def recreate(topic: Topic, partitions: int) -> None:
    """The same name, made anew and empty."""
    await topic.on_admin(lambda admin: admin.delete_topics([topic.name], timeout_ms=20_000))

    async def made() -> bool:
        new = NewTopic(topic.name, partitions, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})
        answer = await topic.on_admin(lambda admin: admin.create_topics([new], timeout_ms=20_000))
        return all(error[1] == 0 for error in answer.topic_errors)

    await eventually(made, "the topic is made anew")


async def test_a_topic_made_anew_ends_the_worker_and_says_why(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    await topic.produce_events(10)
    first = await Worker(spawn, stack).ready()
    await tables.wait_count(10)
    await stop(first)
    await recreate(topic, 1)
    await topic.produce_events(4)

    second = Worker(spawn, stack)

    assert await second.exit_code(40) == EXIT_BUG
    assert "stored up to offset 10 but ends at 4: the topic was made anew or cut" in second.process.log_text()
    assert await tables.count() == 10


async def test_a_topic_made_anew_under_a_running_worker_ends_it_and_drops_nothing_silently(
    make_stack: MakeStack, spawn: Spawner
) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    await topic.produce_events(10)
    worker = await Worker(spawn, stack).ready()
    await tables.wait_count(10)
    # Frozen, so that it does not see the topic gone in between and only finds another log at its position.
    worker.child.freeze()
    await recreate(topic, 1)
    await topic.produce_events(4)
    worker.child.thaw()

    assert await worker.exit_code(60) == EXIT_BUG
    assert "the topic was made anew or cut" in worker.process.log_text()


async def committed(stack: Stack) -> int | None:
    """What the group says of partition 0."""
    found = await Topic(stack).on_admin(
        lambda admin: admin.list_consumer_group_offsets(stack.settings.kafka.consumer_group)
    )
    named = {tp.topic: int(answer.offset) for tp, answer in found.items() if tp.partition == 0}
    return named.get(stack.settings.kafka.topic)


async def test_the_group_is_told_what_is_stored_for_lag_monitors(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    await Worker(spawn, stack).ready()
    await topic.produce_events(12)
    await tables.wait_count(12)

    async def is_committed() -> bool:
        return await committed(stack) == 12

    await eventually(is_committed, "the group's offset is 12")


async def test_the_groups_offset_stays_while_what_was_read_is_not_stored(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    worker = await Worker(spawn, stack).ready()
    await topic.produce_events(5)
    await tables.wait_count(5)

    async def committed_is(offset: int) -> bool:
        return await committed(stack) == offset

    await eventually(partial(committed_is, 5), "the group's offset is 5")
    holder = await asyncpg.connect(stack.postgres_dsn)
    try:
        async with holder.transaction():
            await holder.execute("SELECT 1 FROM consumer_offsets FOR UPDATE")
            await topic.produce_events(7)
            seen = set()

            async def commits_have_passed() -> bool:
                # Faust commits once a second.
                seen.add((await committed(stack), await worker.metric("threatlog_worker_buffered_events")))
                return (5, 7.0) in seen and asyncio.get_running_loop().time() > deadline

            deadline = asyncio.get_running_loop().time() + 3
            await eventually(commits_have_passed, "the window waits for longer than Faust's commits do")
            assert {offset for offset, _ in seen} == {5}
    finally:
        await holder.close()

    await eventually(partial(committed_is, 12), "the group's offset is 12")
    await tables.wait_count(12)


async def test_a_closed_partition_gets_its_index_from_the_running_worker(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    tables = Tables(stack)
    await tables.fetch(
        "CREATE TABLE logs_20260101 PARTITION OF logs FOR VALUES FROM ('2026-01-01 00:00Z') TO ('2026-01-02 00:00Z')"
    )
    # Only whoever owns a table may: where there are no roles, that is the worker.
    await Worker(spawn, stack, THREATLOG_POSTGRES_USER=stack.settings.postgres.user).ready()

    async def indexed() -> bool:
        return bool(await tables.value("SELECT count(*) FROM pg_indexes WHERE indexname = 'logs_20260101_source_ts'"))

    await eventually(indexed, "the closed partition has its index")


async def test_stored_until_is_never_ahead_of_what_is_stored(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    await Worker(spawn, stack, THREATLOG_INGESTION_BATCH_TIMEOUT="20ms").ready()
    seen: set[tuple[int, int]] = set()

    async def watch() -> None:
        while True:
            for row in await tables.fetch(
                "SELECT next_offset, floor(extract(epoch FROM stored_until) * 1000)::bigint AS ms FROM consumer_offsets"
            ):
                seen.add((row["next_offset"], row["ms"]))
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    for _ in range(25):
        await topic.produce_events(7)
    await tables.wait_count(175)
    # Past the next report at the partition's end.
    last_ms = (await topic.timestamps(0))[-1]

    async def beyond() -> bool:
        return any(ms > last_ms for _, ms in seen)

    await eventually(beyond, "the time moves past the last record")
    watching.cancel()
    appended = await topic.timestamps(0)

    assert len(seen) > 3
    for next_offset, until_ms in seen:
        waiting = appended[next_offset:]
        assert all(ms >= until_ms for ms in waiting), (next_offset, until_ms)
