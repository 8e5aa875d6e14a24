"""Rows B4 to B9: PostgreSQL restarted, killed, away, frozen, its answers lost, read-only, out of disk, kept busy."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.e2e.agreement import eventually
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Fate
from tests.faults.intensity import Intensity, VoidRunError, row, struck
from tests.faults.tcp_faults import Applied, Direction, DropReply
from tests.faults.tcp_proxy import proxied
from tests.faults.under_load import Run, start, through, under_load
from tests.processes import Spawner
from tests.servers import READY_TIMEOUT_S, Stack, StackMaker
from threatlog.embedded import PostgresServer
from threatlog.embedded.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
RESUMED_WITHIN_S = 15.0
ANSWERED_WITHIN_S = 10.0
# Room for the tables of an empty database, its log, and little more.
DISK_MIB = 160
FILLER_MIB = 8
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"""
_HEAVY = "SELECT count(*) FROM generate_series(1, 30000000)"


async def dead_letters(stack: Stack) -> int:
    """How many there are."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    try:
        found: int = await connection.fetchval("SELECT count(*) FROM dead_letters")
    finally:
        await connection.close()
    return found


@row("B4")
async def test_postgresql_restarted_and_its_sessions_killed_cost_nothing(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    postgres, back_s = stack.servers.postgres, []

    async def faults(run: Run) -> None:
        for _ in range(intensity.pick(1, 10)):
            await asyncio.to_thread(postgres.stop)
            await asyncio.sleep(intensity.pick(2, 20))
            await start(postgres)
            back_s.append(await run.visible_within(RESUMED_WITHIN_S))
            postgres.kill()
            await start(postgres)
            back_s.append(await run.visible_within(RESUMED_WITHIN_S))

    run = await under_load(stack, spawn, faults, seed=intensity.seed)
    # What waits, waits in Kafka: senders notice nothing, and no event is taken for a bad one.
    assert run.ledger.count(Fate.UNKNOWN) == 0
    assert await dead_letters(stack) == run.ledger.bad_acked
    intensity.saw(f"{len(back_s)} times, stored again at most {max(back_s):.1f} s after PostgreSQL answered")


@row("B5")
async def test_postgresql_frozen_is_waited_for_and_every_question_is_answered_in_time(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    longest_s = 0.0

    async def ask(url: str) -> None:
        nonlocal longest_s
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                began = time.monotonic()
                async with session.get(f"{url}/api/v1/logs/recent") as answer:
                    await answer.read()
                    assert answer.status in {200, 503, 504}
                longest_s = max(longest_s, time.monotonic() - began)
                await asyncio.sleep(0.2)

    async def faults(run: Run) -> None:
        asking = asyncio.create_task(ask(run.fleet.query_url))
        before = run.acknowledged
        stack.servers.postgres.freeze()
        try:
            await asyncio.sleep(intensity.pick(15, 60))
        finally:
            stack.servers.postgres.thaw()
        struck(run.acknowledged > before, "nothing was sent meanwhile")
        await run.visible_within(RESUMED_WITHIN_S + 30)
        assert not asking.done(), asking.exception()
        asking.cancel()

    run = await under_load(stack, spawn, faults, seed=intensity.seed, fleet=Fleet(stack, spawn, queries=1))
    assert run.ledger.count(Fate.UNKNOWN) == 0
    assert longest_s <= ANSWERED_WITHIN_S
    intensity.saw(f"the longest answer took {longest_s:.1f} s; senders noticed nothing")


@row("B6")
async def test_a_commit_whose_answer_is_lost_is_stored_once(stack: Stack, spawn: Spawner, intensity: Intensity) -> None:
    hits = intensity.pick(5, 50)
    with proxied(stack.settings.postgres.port, random.Random(intensity.seed)) as proxy:

        async def faults(run: Run) -> None:
            async def missing() -> str:
                return f"{proxy.struck['DropReply']} of {hits}" if proxy.struck["DropReply"] < hits else ""

            proxy.apply(Applied(DropReply(b"COMMIT"), Direction.UP, probability=0.3))
            await eventually(missing, 300.0, "answers to COMMIT are lost")
            proxy.clear()
            await run.visible_within(RESUMED_WITHIN_S)

        fleet = Fleet(through(stack, postgres=proxy.port), spawn)
        await under_load(stack, spawn, faults, seed=intensity.seed, fleet=fleet)
    struck(proxy.struck["DropReply"] >= hits, "no answer to a COMMIT was lost")
    intensity.saw(f"{proxy.struck['DropReply']} answers to COMMIT lost")


@row("B7")
async def test_a_read_only_postgresql_is_waited_for(stack: Stack, spawn: Spawner, intensity: Intensity) -> None:
    """As after a failover to a standby that is not promoted yet."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    database = stack.settings.postgres.database

    async def faults(run: Run) -> None:
        await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        struck(await connection.fetchval(_END_SESSIONS, database), "there was no session to end")
        await asyncio.sleep(intensity.pick(4, 30))
        stored = await connection.fetchval("SELECT count(*) FROM logs")
        await run.grown(500)
        struck(await connection.fetchval("SELECT count(*) FROM logs") == stored, "events were stored all the same")
        await connection.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        # Sessions that began read-only stay so: they have to be recycled without being told.
        intensity.saw(f"stored again {await run.visible_within(RESUMED_WITHIN_S):.1f} s after it took writes")

    try:
        run = await under_load(stack, spawn, faults, seed=intensity.seed)
    finally:
        await connection.close()
    assert await dead_letters(stack) == run.ledger.bad_acked


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of DISK_MIB in memory. Void where this account may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0711", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"VOID: no small disk can be made here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@row("B8")
async def test_a_full_disk_is_waited_for(
    stack_maker: StackMaker, server_folder: Path, spawn: Spawner, intensity: Intensity
) -> None:
    with small_disk(server_folder / f"disk-{intensity.seed}") as disk:
        postgres = PostgresServer(disk / "postgres", free_port(random.Random()))
        postgres.start()
        try:
            postgres.wait_ready(READY_TIMEOUT_S)
            maker = stack_maker.on(replace(stack_maker.servers, postgres=postgres))
            stack = maker.make(4, {})
            await _full_disk(stack, spawn, disk, intensity)
        finally:
            postgres.stop()


async def _full_disk(stack: Stack, spawn: Spawner, disk: Path, intensity: Intensity) -> None:
    async def faults(run: Run) -> None:
        fillers = fill(disk)
        worker = run.fleet.workers[0]

        async def unnoticed() -> str:
            texts = [part.process.log_text() for part in run.fleet.workers]
            return "" if any("DiskFull" in text for text in texts) else "unnoticed"

        await eventually(unnoticed, 120.0, "a worker finds the disk full")
        await asyncio.sleep(intensity.pick(3, 30))
        for filler in fillers:
            filler.unlink()
        intensity.saw(f"stored again {await run.visible_within(RESUMED_WITHIN_S + 30):.1f} s after there was room")
        lines = [line for line in worker.process.log_text().splitlines() if "DiskFull" in line]
        assert len(lines) <= 2 + intensity.pick(30, 120) // 10

    await under_load(stack, spawn, faults, seed=intensity.seed)


def fill(disk: Path) -> list[Path]:
    """Takes all the room there is."""
    fillers: list[Path] = []
    for n in range(DISK_MIB // FILLER_MIB + 1):
        filler = disk / f"filler-{n}"
        fillers.append(filler)
        try:
            filler.write_bytes(bytes(FILLER_MIB << 20))
        except OSError:
            return fillers
    raise VoidRunError("VOID: the disk did not become full")


@row("B9")
async def test_heavy_work_in_postgresql_does_not_keep_events_from_being_taken_and_stored(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    async def burden() -> None:
        connection = await asyncpg.connect(stack.postgres_dsn)
        try:
            while True:
                await connection.fetchval(_HEAVY)
        finally:
            connection.terminate()

    async def faults(run: Run) -> None:
        burdens = [asyncio.create_task(burden()) for _ in range(intensity.pick(5, 20))]
        await run.grown(1000, 120.0)
        seconds = await run.visible_within(60.0)
        struck(not any(task.done() for task in burdens), "PostgreSQL was not kept busy")
        for task in burdens:
            task.cancel()
        await asyncio.gather(*burdens, return_exceptions=True)
        intensity.saw(f"{len(burdens)} queries that never end beside it: a fresh event is stored after {seconds:.1f} s")

    run = await under_load(stack, spawn, faults, seed=intensity.seed)
    assert run.ledger.count(Fate.UNKNOWN) == 0
