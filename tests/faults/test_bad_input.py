"""Rows D1 to D4, D9, D10, D12: bad and strange input by every way in costs no neighbour, partition or evidence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stream_app.partitions import day_of, days_since_1970
from tests.e2e.agreement import eventually
from tests.fakes.kafka_records import event_json
from tests.faults.bad_inputs import INPUTS, STORED, Input
from tests.faults.intensity import Intensity, row, struck
from tests.faults.three_ways import ROW, STORED_WITHIN_S, Ways, ways
from tests.integration.stream_app.workers import Topic, fetch_text, sum_of
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"""


async def assert_kept(by: Ways, case: Input, source: str, sent: datetime) -> None:
    """The row is what was sent, and the query API shows the same."""
    rows = await by.postgres.fetch(ROW, source)
    if case.outcome != STORED:
        assert rows == [], f"{case.name}: stored"
        return
    assert len(rows) == 1, f"{case.name}: {len(rows)} rows of {source}"
    (found,) = rows
    attributes = None if found["attributes"] is None else found["attributes"].encode()
    assert (found["message"], attributes) == (case.message, case.attributes), case.name
    expected = case.timestamp or found["received_at"]
    assert abs(found["ts"] - expected) < timedelta(milliseconds=1), case.name
    assert sent - timedelta(seconds=5) < found["received_at"] < datetime.now(UTC) + timedelta(seconds=5), case.name
    (shown,) = await by.ask(source)
    assert shown["message"] == case.message, case.name
    if case.attributes is not None:
        assert shown["attributes"] == json.loads(case.attributes), case.name


def status_of(outcome: str) -> int:
    """Of a request with one event."""
    if outcome == STORED:
        return 201
    if outcome == "not_json":
        return 400
    return 413 if outcome.endswith("_too_large") else 422


def good(source: str) -> bytes:
    """A neighbour."""
    return event_json(source=source)


async def by_every_way(cases: Sequence[Input], stack: Stack, spawn: Spawner) -> int:
    """Sends each as one request, as one of three lines, and straight to Kafka. Returns how many are refused."""
    sent = datetime.now(UTC)
    async with ways(stack, spawn) as by:
        for n, case in enumerate(cases):
            told = None if case.outcome == STORED else case.outcome
            status, answer = await by.single(case.of(f"single-{n}"))
            assert (status, answer.get("code")) == (status_of(case.outcome), told), f"{case.name}: {answer}"
            between = good(f"lines-{n}-good")
            status, answer = await by.lines(between, case.of(f"lines-{n}"), between)
            codes = [error["code"] for error in answer.get("errors", ())]
            assert (status, codes) == (201, [told] if told else []), f"{case.name}: {answer}"
        between_all = [good(f"direct-{n}-good") for n in range(len(cases))]
        direct = [(between_all[n], case.of(f"direct-{n}"), between_all[n]) for n, case in enumerate(cases)]
        await Topic(stack).produce([value for three in direct for value in three], max_request_size=2 << 20)
        await by.settled()
        for n, case in enumerate(cases):
            for way in ("single", "lines", "direct"):
                await assert_kept(by, case, f"{way}-{n}", sent)
                neighbours = await by.postgres.fetch(ROW, f"{way}-{n}-good")
                assert len(neighbours) == (0 if way == "single" else 2), f"{case.name} by {way}"
        found = await by.postgres.fetch("SELECT payload, reason FROM dead_letters")
        letters = {bytes(letter["payload"]): letter["reason"] for letter in found}
        refused = {case.of(f"direct-{n}"): case.outcome for n, case in enumerate(cases) if case.outcome != STORED}
        assert letters == refused
        await assert_no_strange_day(by)
    return len(refused)


async def assert_no_strange_day(by: Ways) -> None:
    """No sender's clock has made a day."""
    storage, today = by.stack.settings.storage, days_since_1970(datetime.now(UTC))
    allowed = range(today - storage.partition_days_back, today + storage.partition_days_ahead + 2)
    found = await by.postgres.fetch("SELECT relname FROM pg_class WHERE relname ~ '^logs_[0-9]{8}$'")
    assert {day_of(row["relname"]) for row in found} <= set(allowed)


@row("D3")
async def test_every_bad_input_by_every_way_is_refused_by_its_name_or_kept_as_it_came(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    cases = [*INPUTS["Numbers"], *INPUTS["Shapes"]]
    refused = await by_every_way(cases, stack, spawn)
    intensity.saw(f"{len(cases)} inputs by three ways, {refused} of them refused")


@row("D9")
async def test_every_clock_by_every_way_is_refused_by_its_name_or_kept_and_makes_no_day(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    refused = await by_every_way(INPUTS["Times"], stack, spawn)
    intensity.saw(f"{len(INPUTS['Times'])} times by three ways, {refused} of them refused")


@row("D10")
async def test_every_character_by_every_way_is_refused_by_its_name_or_kept_as_it_came(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    refused = await by_every_way(INPUTS["Characters"], stack, spawn)
    intensity.saw(f"{len(INPUTS['Characters'])} texts by three ways, {refused} of them refused")


@row("D1")
async def test_a_bad_record_anywhere_between_good_ones_costs_none_of_them(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    bad_ones = [case for group in INPUTS.values() for case in group if case.outcome != STORED]
    async with ways(stack, spawn) as by:
        count = intensity.pick(2_000, 20_000)
        positions = set(intensity.rng.sample(range(count), count // 20))
        values = [good(f"d1-{n % 7}") for n in range(count)]
        for n in positions:
            values[n] = intensity.rng.choice(bad_ones).of(f"bad-{n}")
        offsets = await Topic(stack).produce(values, max_request_size=2 << 20)
        await by.settled()
        stored = await by.postgres.fetchval("SELECT count(*) FROM logs WHERE source LIKE 'd1-%'")
        letters = {letter["offset"] for letter in await by.postgres.fetch('SELECT "offset" FROM dead_letters')}
    assert stored == count - len(positions)
    assert letters == {offsets[n] for n in positions}
    intensity.saw(f"{len(positions)} bad ones among {count}")


@row("D2")
async def test_a_first_record_that_cannot_be_stored_now_is_not_passed_over_for_the_second(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async with ways(stack, spawn) as by:
        database = stack.settings.postgres.database
        await by.postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        await by.postgres.execute(_END_SESSIONS, database)
        await Topic(stack).produce([good("first")])
        worker = by.fleet.workers[0].process

        async def unnoticed() -> str:
            return "" if "ReadOnlySQLTransaction" in worker.log_text() else "not tried yet"

        await eventually(unnoticed, 60.0, "the first one is tried")
        await Topic(stack).produce([good("second")])
        await asyncio.sleep(intensity.pick(2, 30))
        struck(not await by.postgres.fetch("SELECT FROM logs"), "it was stored all the same")
        await by.postgres.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await by.settled()
        stored = await by.postgres.fetch("SELECT source FROM logs ORDER BY source")
    assert [event["source"] for event in stored] == ["first", "second"]


@row("D4")
async def test_a_partition_of_nothing_but_bad_records_waits_and_loses_no_good_one(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    limit = intensity.pick(500, 5_000)
    variables = {"THREATLOG_INGESTION_DEAD_LETTER_LIMIT": str(limit), "THREATLOG_STREAM_STALL_TIMEOUT": "10s"}
    limited = replace(stack, environment=stack.with_environment(**variables))
    topic, bad = Topic(stack), [b"no event"] * (limit // 5)
    async with ways(limited, spawn) as by:
        worker = by.fleet.workers[0]

        async def running_on() -> str:
            shown = fetch_text(worker.ready_url.replace("/readyz", "/metrics"))
            return "" if sum_of(shown, "threatlog_worker_stopped_partitions") == 1 else "not stopped"

        for _ in range(5):
            await topic.produce(bad)
            await by.settled()
        await eventually(running_on, STORED_WITHIN_S, "the partition is stopped")
        for _ in range(5):
            await topic.produce([*bad, good("behind")])
        await topic.produce([good("beside")], partition=1)
        await eventually(by.missing("beside", 1), STORED_WITHIN_S, "other partitions go on")
        # Longer than a worker that stands still may live.
        await asyncio.sleep(intensity.pick(15, 45))
        letters = await by.postgres.fetchval("SELECT count(*) FROM dead_letters")
        struck(letters >= limit, "there were too few dead letters")
        assert letters <= limit + 2 * len(bad)
        assert worker.lives == 1
        await by.fleet.terminate(worker)
        worker.environment["THREATLOG_INGESTION_DEAD_LETTER_LIMIT"] = "0"
        by.fleet.restart(worker)
        await by.settled()
        assert await by.postgres.fetchval("SELECT count(*) FROM dead_letters") == 10 * len(bad)
        assert len(await by.postgres.fetch(ROW, "behind")) == 5
    intensity.saw(f"stopped after {letters} dead letters, {limit} being the limit")


async def send_of_many_sources(by: Ways, numbers: range) -> None:
    """Events of a source and an attribute each, stored, and asked for."""
    for first in numbers[::1_000]:
        lines = [event_json(source=f"s-{n}", attributes={f"k-{n}": n}) for n in range(first, first + 1_000)]
        status, answer = await by.lines(*lines)
        assert (status, answer["rejected"]) == (201, 0)
    await by.settled()
    for source in ("s-1", "nobody"):
        await by.ask(source)


@row("D12")
async def test_many_sources_and_attributes_make_no_metric_larger(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async with ways(stack, spawn) as by:
        urls = [part.ready_url.replace("/readyz", "/metrics") for part in by.fleet.parts]
        # What is counted for the first time adds lines, a scrape too: that is no growth with the number of sources.
        await send_of_many_sources(by, range(1_000))
        for url in urls:
            await asyncio.to_thread(fetch_text, url)
        before = [len(await asyncio.to_thread(fetch_text, url)) for url in urls]
        await send_of_many_sources(by, range(1_000, intensity.pick(10_000, 100_000)))
        after = [len(await asyncio.to_thread(fetch_text, url)) for url in urls]
    grown = [now / then - 1 for now, then in zip(after, before, strict=True)]
    assert max(grown) < 0.05
    intensity.saw(f"/metrics of each process grew by {max(grown):.1%} at most")
