"""The rules of a window's path, each with a test that fails where the rule is broken."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ingest_gateway.contract import RejectedEventError
from stream_app.outcomes import ConfigurationFaultError, StoreBusyError, StoreUnavailableError
from tests.fakes.kafka_records import NOON_MS, FakeRecord, chunk, record
from tests.unit.stream_app.pipeline_bench import Bench, quiet, until

AWAY = StoreUnavailableError("away")


async def test_a_window_is_stored_then_told_to_redis_then_acknowledged() -> None:
    bench = Bench()
    await bench.start(p0=0)

    await bench.deliver(chunk(0, range(3)))
    await until(lambda: bench.acknowledged)

    assert bench.journal == ["store [(0, 3)]", "mirror", "ack 0:3"]
    assert bench.pipeline.stored_offsets == {0: 3}
    assert bench.mirror.until == [{0: NOON_MS}]


async def test_the_days_of_a_window_have_partitions_before_it_is_written() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.on_write = lambda: bench.journal.append(f"days {bench.days.asked}")

    await bench.deliver(chunk(0, [0]))
    await until(lambda: bench.acknowledged)

    assert bench.journal[0] == f"days [{{{NOON_MS // 86_400_000}}}]"


async def test_an_unavailable_store_is_tried_again_for_ever_without_acknowledging() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.troubles = [AWAY] * 30

    await bench.deliver(chunk(0, range(3)))
    await until(lambda: bench.store.writes >= 20)
    assert bench.acknowledged == []
    assert bench.mirror.told == []
    await until(lambda: bench.acknowledged)

    assert bench.figures.retries == 30
    assert bench.stored_offsets_of_rows == [(0, 0), (0, 1), (0, 2)]
    assert bench.failures == []


async def test_postgresql_is_waited_for_when_days_are_looked_up_as_well() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.days.troubles = [AWAY] * 3

    await bench.deliver(chunk(0, [0]))
    await until(lambda: bench.acknowledged)

    assert len(bench.days.asked) == 4


async def test_a_lock_that_others_hold_is_not_called_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.troubles = [StoreBusyError("lock timeout"), AWAY]

    await bench.deliver(chunk(0, [0]))
    await until(lambda: bench.acknowledged)

    assert [message.split(";")[0] for message in caplog.messages] == ["PostgreSQL is busy", "PostgreSQL is away"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), RejectedEventError("x", "y"), TimeoutError()])
async def test_an_unexpected_error_ends_the_process_and_acknowledges_nothing(error: Exception) -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.troubles = [error]

    await bench.deliver(chunk(0, range(3)))
    await until(lambda: bench.failures)
    await quiet()

    assert bench.failures == [error]
    assert bench.acknowledged == []


async def test_an_unexpected_error_while_preparing_ends_the_process_too() -> None:
    bench = Bench()
    await bench.start(p0=0)

    await bench.deliver(chunk(0, [FakeRecord(0, [5])]))  # type: ignore[arg-type]
    await until(lambda: bench.failures)

    assert bench.acknowledged == []


async def test_a_commit_whose_answer_was_lost_is_not_written_twice() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.lost_answers = [AWAY]

    await bench.deliver(chunk(0, range(3)))
    await until(lambda: bench.acknowledged)

    assert bench.stored_offsets_of_rows == [(0, 0), (0, 1), (0, 2)]
    assert sum(bench.store.totals.values()) == 3
    # What Redis was to be told is gone with the answer.
    assert bench.mirror.stale == 2


async def test_bad_records_are_kept_as_dead_letters_and_their_neighbours_stored() -> None:
    bench = Bench()
    await bench.start(p0=0)

    await bench.deliver(chunk(0, [record(0), FakeRecord(1, b"?"), record(2)]))
    await until(lambda: bench.acknowledged)

    assert bench.stored_offsets_of_rows == [(0, 0), (0, 2)]
    assert list(bench.store.dead_letters) == [(0, 1)]


async def test_a_window_mostly_of_bad_records_is_kept_and_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.start(p0=0)

    with caplog.at_level(logging.ERROR, "stream_app.pipeline"):
        await bench.deliver(chunk(0, [record(0), *(FakeRecord(n, b"?") for n in range(1, 11))]))
        await until(lambda: bench.acknowledged)

    assert len(bench.store.dead_letters) == 10
    assert "most of a window" in caplog.text


async def test_one_bad_record_alone_in_a_quiet_window_is_no_cause_for_noise(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.start(p0=0)

    with caplog.at_level(logging.WARNING, "stream_app.pipeline"):
        await bench.deliver(chunk(0, [FakeRecord(0, b"?")]))
        await until(lambda: bench.acknowledged)

    assert caplog.records == []


async def test_a_window_holds_no_more_bytes_than_its_bound() -> None:
    size = chunk(0, range(4)).bytes
    bench = Bench(max_window_bytes=size * 2)
    await bench.start(p0=0)

    await bench.deliver(*(chunk(0, range(first, first + 4)) for first in range(0, 20, 4)))
    await until(lambda: len(bench.acknowledged) == 5)

    assert [len(stored.rows) for stored in bench.mirror.told] == [8, 8, 4]


async def test_a_record_with_its_producers_time_ends_the_process_as_a_fault_of_the_configuration() -> None:
    bench = Bench()
    await bench.start(p0=0)

    await bench.deliver(chunk(0, [FakeRecord(0, b"{}", timestamp_type=0)]))

    (error,) = bench.failures
    assert isinstance(error, ConfigurationFaultError)
    assert "threatlog topics" in str(error)
    await quiet()
    assert bench.store.writes == 0


async def test_a_few_bad_records_are_no_cause_for_noise(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.start(p0=0)

    with caplog.at_level(logging.WARNING, "stream_app.pipeline"):
        await bench.deliver(chunk(0, [FakeRecord(0, b"?"), *range(1, 5)]))
        await until(lambda: bench.acknowledged)

    assert caplog.records == []


async def test_while_redis_waits_for_more_nothing_is_acknowledged() -> None:
    bench = Bench(batch_size=2)
    answers = [False, True]
    bench.mirror.tells = lambda _: answers.pop(0)
    await bench.start(p0=0)

    await bench.deliver(chunk(0, range(2)))
    await until(lambda: len(bench.mirror.told) == 1)
    await quiet()
    assert bench.acknowledged == []
    await bench.deliver(chunk(0, range(2, 4)))
    await until(lambda: len(bench.mirror.told) == 2)
    await quiet()

    assert bench.acknowledged == [(0, 2), (0, 4)]


async def test_the_next_window_is_prepared_while_one_is_written_and_written_after_it() -> None:
    bench = Bench(batch_size=2)
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()

    await bench.deliver(chunk(0, range(2)), chunk(0, range(2, 4)))
    await until(lambda: "writing" in bench.journal)
    await quiet()
    assert bench.journal == ["writing"]
    assert bench.pipeline.is_writing
    bench.store.gate.set()
    await until(lambda: len(bench.acknowledged) == 2)

    assert [line for line in bench.journal if line.startswith("store")] == ["store [(0, 2)]", "store [(0, 4)]"]


async def test_a_new_assignment_forgets_what_was_queued_for_the_old_one() -> None:
    bench = Bench(batch_size=2)
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()
    await bench.deliver(chunk(0, range(2)))
    await until(lambda: "writing" in bench.journal)
    await bench.deliver(chunk(0, range(2, 4)), chunk(0, range(4, 6)))
    await bench.start(p0=0)
    await bench.deliver(chunk(0, range(6)))
    bench.store.gate.set()
    await until(lambda: (0, 6) in bench.acknowledged)

    assert bench.stored_offsets_of_rows == [(0, offset) for offset in range(6)]


async def test_a_late_window_of_a_partition_that_is_gone_changes_nothing_the_new_owner_stored() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()
    await bench.deliver(chunk(0, range(4)))
    await until(lambda: "writing" in bench.journal)
    # The new owner stores the same offsets first.
    other = Bench()
    other.store.logs, other.store.offsets, other.store.totals = (
        bench.store.logs,
        bench.store.offsets,
        bench.store.totals,
    )
    await other.start(p0=0)
    await other.deliver(chunk(0, range(4)))
    await until(lambda: other.acknowledged)
    bench.store.gate.set()
    await until(lambda: bench.acknowledged)

    assert len(bench.store.logs) == 4
    assert sum(bench.store.totals.values()) == 4
