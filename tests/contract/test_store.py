"""The rules of the store, held by the one in memory and by PostgreSQL alike."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import pytest

from ingest_gateway.contract import unix_us
from stream_app.outcomes import Loss, OffsetsMovedError, Window
from stream_app.prepare import Cell, Prepared
from tests.conftest import MakeStack
from tests.contract.stores import (
    IDENTIFIER,
    MINUTE,
    POISON,
    MemoryAdapter,
    PostgresAdapter,
    StoreUnderTest,
    client_event,
    write,
)
from tests.fakes.kafka_records import NOON_MS, FakeRecord, chunk, record, window


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Each of the two, empty."""
    if request.param == "memory":
        yield MemoryAdapter()
        return
    make_stack: MakeStack = request.getfixturevalue("make_stack")
    adapter = PostgresAdapter(make_stack(partitions=1))
    yield adapter
    await adapter.store.close()


async def messages(store: StoreUnderTest) -> list[str]:
    return [row[3] for row in await store.rows()]


async def test_a_new_partition_starts_at_its_beginning_and_a_known_one_where_it_is_stored(
    store: StoreUnderTest,
) -> None:
    assert await store.positions({0: 0, 1: 40}) == {0: 0, 1: 40}
    assert await store.positions({0: 5, 1: 50}) == {0: 0, 1: 40}


async def test_rows_come_back_as_they_were_sent(store: StoreUnderTest) -> None:
    await write(
        store,
        record(
            0,
            timestamp="2026-11-24T09:59:58.123456Z",
            severity="CRITICAL",
            source="füw|1",
            message="Łog\nin\t\\.",
            attributes={"n": 1},
        ),
        record(1),
    )

    assert await store.rows() == [
        (NOON_MS * 1000 - 1_876_544, 4, "füw|1", "Łog\nin\t\\.", b'{"n": 1}', NOON_MS * 1000),
        (NOON_MS * 1000, 3, "web-01", "Failed password", None, NOON_MS * 1000),
    ]


@pytest.mark.parametrize("text", [b'{ "b" :1,"a":[1.50, 1e3] }', b"{}", b'{"a":"\\u00fc","a":2}'])
async def test_the_bytes_of_attributes_stay_unchanged(store: StoreUnderTest, text: bytes) -> None:
    await write(store, FakeRecord(0, b'{"severity":"LOW","source":"s","message":"m","attributes":' + text + b"}"))

    assert [row[4] for row in await store.rows()] == [text]


@pytest.mark.parametrize("moment", ["0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z", "1999-12-31T23:59:59.999999Z"])
async def test_a_time_outside_every_partition_is_stored_all_the_same(store: StoreUnderTest, moment: str) -> None:
    stored = await write(store, record(0, timestamp=moment))

    assert len(stored.rows) == 1
    assert [row[0] for row in await store.rows()] == [unix_us(datetime.fromisoformat(moment))]


async def test_offsets_move_with_the_rows(store: StoreUnderTest) -> None:
    await write(store, record(5), record(6))

    assert await store.offsets() == {0: 7}


async def test_a_window_cut_for_other_offsets_changes_nothing_and_is_told_the_true_ones(store: StoreUnderTest) -> None:
    late = window([chunk(0, range(3)), chunk(1, range(2))], {0: 0, 1: 0})
    await store.positions({1: 0})
    await write(store, *(record(n, message="first") for n in range(2)))

    with pytest.raises(OffsetsMovedError) as moved:
        await store.write(late)

    assert moved.value.stored == {0: 2, 1: 0}
    assert await messages(store) == ["first"] * 2
    assert await store.offsets() == {0: 2, 1: 0}
    assert sum((await store.totals()).values()) == 2


async def test_a_window_of_a_partition_that_is_not_known_is_told_so(store: StoreUnderTest) -> None:
    with pytest.raises(OffsetsMovedError) as moved:
        await store.write(window([chunk(0, range(3))], {0: 0}))

    assert moved.value.stored == {}
    assert await store.rows() == []


async def test_of_duplicates_in_one_window_the_first_wins_and_only_it_is_counted(store: StoreUnderTest) -> None:
    stored = await write(store, client_event(0, "first"), record(1, message="other"), client_event(2, "second"))

    assert sorted(await messages(store)) == ["first", "other"]
    assert (stored.duplicates, len(stored.rows)) == (1, 2)
    assert await store.totals() == {(3, "web-01"): 2}
    assert await store.offsets() == {0: 3}


async def test_of_duplicates_in_two_windows_the_first_stored_wins_and_only_it_is_counted(store: StoreUnderTest) -> None:
    await write(store, client_event(0, "first"))
    stored = await write(store, client_event(1, "second"), record(2, message="other"))

    assert sorted(await messages(store)) == ["first", "other"]
    assert (stored.duplicates, [row.event.message for row in stored.rows]) == (1, ["other"])
    assert stored.total_counts == {(3, "web-01"): 2}
    assert await store.totals() == {(3, "web-01"): 2}


async def test_of_many_repeated_events_of_any_size_those_told_are_those_stored(store: StoreUnderTest) -> None:
    """PostgreSQL puts a row where there is room: neither its place nor the order of a COPY says which came first."""
    rng = random.Random(5)
    for start in range(0, 4_000, 1_000):
        sent = [
            record(
                start + n + at,
                id=str(uuid.UUID(int=start + n, version=4)),
                timestamp="2026-11-24T10:00:00Z",
                message=f"{at}" * rng.randint(1, 4_000),
            )
            for n in range(0, 1_000, 2)
            for at in (0, 1)
        ]
        stored = await write(store, *sent)

        assert [row.event.message[0] for row in stored.rows] == ["0"] * 500
    assert {message[0] for message in await messages(store)} == {"0"}


async def test_a_window_of_nothing_but_duplicates_moves_the_offsets_and_no_count(store: StoreUnderTest) -> None:
    await write(store, client_event(0, "first"))
    stored = await write(store, client_event(1, "second"), client_event(2, "third"))

    assert (stored.duplicates, list(stored.rows), stored.minute_counts, stored.total_counts) == (2, [], {}, {})
    assert await store.offsets() == {0: 3}


async def test_one_id_at_two_times_is_two_events(store: StoreUnderTest) -> None:
    stored = await write(store, client_event(0, "first"), client_event(1, "second", second=1))

    assert (stored.duplicates, await messages(store)) == (0, ["first", "second"])


async def test_a_duplicate_outside_every_partition_is_known_as_well(store: StoreUnderTest) -> None:
    def old(offset: int) -> FakeRecord:
        return record(offset, id=IDENTIFIER, timestamp="1999-01-01T00:00:00Z")

    await write(store, old(0))
    assert (await write(store, old(1))).duplicates == 1
    assert len(await store.rows()) == 1


async def test_counts_are_absolute_and_equal_the_rows(store: StoreUnderTest) -> None:
    first = await write(store, record(0), record(1, severity="LOW"), record(2, NOON_MS + 60_000))
    second = await write(store, record(3), record(4, source="db"), client_event(5, "x"), client_event(6, "y"))

    assert first.minute_counts == {
        Cell(MINUTE, 3, "web-01"): 1,
        Cell(MINUTE, 1, "web-01"): 1,
        Cell(MINUTE + 1, 3, "web-01"): 1,
    }
    assert first.total_counts == {(3, "web-01"): 2, (1, "web-01"): 1}
    assert second.minute_counts == {Cell(MINUTE, 3, "web-01"): 3, Cell(MINUTE, 3, "db"): 1}
    assert second.total_counts == {(3, "web-01"): 4, (3, "db"): 1}
    counted = Counter((row[0] // 60_000_000, row[1], row[2]) for row in await store.rows())
    assert await store.minutes() == counted
    by_total = Counter((row[1], row[2]) for row in await store.rows())
    assert await store.totals() == by_total


async def test_dead_letters_are_kept_whole_beside_their_neighbours(store: StoreUnderTest) -> None:
    stored = await write(store, record(0), FakeRecord(1, b"\0\xff", b"\0key"), FakeRecord(2, None), record(3))

    assert await store.letters() == [(0, 1, "not_json", b"\0key", b"\0\xff"), (0, 2, "null_value", None, None)]
    assert (len(stored.rows), stored.dead_letters) == (2, 2)


async def test_a_window_of_nothing_but_dead_letters_moves_the_offsets(store: StoreUnderTest) -> None:
    stored = await write(store, FakeRecord(0, b"?"), FakeRecord(1, b"?"))

    assert (list(stored.rows), stored.dead_letters) == ([], 2)
    assert await store.offsets() == {0: 2}


async def test_words_that_quote_a_hostile_sender_do_not_stop_a_window(store: StoreUnderTest) -> None:
    await write(store, FakeRecord(0, b'{"severity":"LOW","source":"s","message":"m","a\\u0000b":1}'), record(1))

    assert [letter[2] for letter in await store.letters()] == ["unknown_field"]
    assert len(await store.rows()) == 1


async def test_losses_are_kept(store: StoreUnderTest) -> None:
    await write(store, record(9), losses=(Loss(0, 5, 9),))

    assert await store.losses() == [Loss(0, 5, 9)]


def poisoned(made: Window, *offsets: int) -> Window:
    """The window with rows whose COPY bytes PostgreSQL refuses, as if a check of ours had a hole."""
    rows = [
        msgspec.structs.replace(row, copy_bytes=row.copy_bytes.replace(b"poisoned", POISON))
        if row.record.offset in offsets
        else row
        for row in made.prepared.rows
    ]
    return Window(made.fenced, Prepared(rows, made.prepared.dead_letters), made.losses)


@pytest.mark.parametrize("bad", [(0,), (3, 4), (0, 1, 2, 3, 4, 5, 6)])
async def test_rows_that_are_refused_become_dead_letters_and_their_neighbours_are_stored(
    store: StoreUnderTest, bad: tuple[int, ...]
) -> None:
    start = await store.positions({0: 0})
    made = window(
        [chunk(0, [record(n, NOON_MS + n, message="poisoned" if n in bad else "fine") for n in range(7)])], start
    )

    stored = await store.write(poisoned(made, *bad))

    assert await messages(store) == ["fine"] * (7 - len(bad))
    assert [letter[:3] for letter in await store.letters()] == [(0, n, "refused_by_store") for n in bad]
    assert (stored.dead_letters, stored.duplicates) == (len(bad), 0)
    assert sum((await store.totals()).values()) == 7 - len(bad)
    assert await store.offsets() == {0: 7}


async def test_duplicates_and_refused_rows_in_one_window_are_told_apart(store: StoreUnderTest) -> None:
    await write(store, client_event(0, "first"))
    made = window([chunk(0, [client_event(1, "again"), record(2, message="poisoned"), record(3)])], {0: 1})

    stored = await store.write(poisoned(made, 2))

    assert (stored.duplicates, stored.dead_letters, len(stored.rows)) == (1, 1, 1)
