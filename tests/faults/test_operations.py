"""Rows F1, F3, F6: what operators do while events come: migrate, restore a backup, restart everything in turn."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aiohttp
import asyncpg
import psycopg
import pytest

from stream_app import migrate
from tests.e2e.fleet import Fleet, Part
from tests.e2e.ledger import Fate, Ledger, SentEvent
from tests.e2e.load import INGEST, compact
from tests.faults.intensity import Intensity, row, struck
from tests.faults.test_retention import ANSWERED_WITHIN_S, asking
from tests.faults.under_load import Run, under_load
from tests.processes import Spawner
from tests.servers import READY_TIMEOUT_S, Stack, StackMaker
from threatlog.embedded import PostgresServer
from threatlog.embedded.ports import free_port
from threatlog.embedded.postgres_account import program_folder, server_account

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
# The commands of docs/operations.md, which a test holds to these.
BACKUP = ("pg_basebackup", "--checkpoint=fast", "--wal-method=stream", "--no-password")


def backed_up(postgres: PostgresServer, folder: Path) -> None:
    """Takes a backup of the running server into `folder`, and leaves it as its account needs it."""
    account = server_account(folder)
    program, *options = BACKUP
    command = [str(program_folder(account) / program), *options, f"--pgdata={folder}"]
    command += ["--host=127.0.0.1", f"--port={postgres.port}", "--username=postgres"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid)


@contextmanager
def next_version(folder: Path) -> Iterator[Path]:
    """The migrations that there are, and one that changes the table of events."""
    shutil.copytree(migrate.MIGRATIONS, folder)
    newest = max(path.name for path in folder.glob("*.sql") if ".rollback" not in path.name).removesuffix(".sql")
    (folder / "9999_next.sql").write_text(
        f"-- depends: {newest}\nALTER TABLE logs ADD COLUMN note text;\nCREATE TABLE notes (note text);\n"
    )
    (folder / "9999_next.rollback.sql").write_text("DROP TABLE notes;\nALTER TABLE logs DROP COLUMN note;\n")
    yield folder


def migrated_back(stack: Stack, folder: Path) -> None:
    """As an operator does it: the rollback script, with the same care for others."""
    connection = psycopg.connect(stack.postgres_dsn)
    while True:
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '1s'")
                connection.execute((folder / "9999_next.rollback.sql").read_bytes())
                connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '9999_next'")
            break
        except psycopg.errors.LockNotAvailable:
            continue
    connection.close()


@row("F1")
async def test_tables_migrated_and_back_under_load_hold_nobody_up_for_long(
    stack: Stack, spawn: Spawner, intensity: Intensity, tmp_path: Path
) -> None:
    fleet = Fleet(stack, spawn, queries=1)

    async def faults(run: Run) -> None:
        with next_version(tmp_path / "next") as folder:
            async with asking(fleet.query_url) as answers:
                for _ in range(intensity.pick(3, 30)):
                    struck(
                        await asyncio.to_thread(migrate.run, stack.settings.postgres, 60.0, folder) == 0, "not migrated"
                    )
                    await run.grown(300)
                    await asyncio.to_thread(migrated_back, stack, folder)
                    await run.grown(300)
        assert {status for status, _ in answers} == {200}
        slowest_s = max(seconds for _, seconds in answers)
        assert slowest_s < ANSWERED_WITHIN_S
        intensity.saw(
            f"{intensity.pick(3, 30)} times there and back; {len(answers)} queries, the slowest {slowest_s:.2f} s"
        )

    await under_load(stack, spawn, faults, seed=intensity.seed, fleet=fleet)


@row("F3")
async def test_a_restored_backup_is_filled_again_from_kafka(
    stack_maker: StackMaker, server_folder: Path, spawn: Spawner, intensity: Intensity
) -> None:
    port = free_port(random.Random())
    folder, copy = (server_folder / f"{name}-{intensity.seed}" for name in ("lost", "backup"))
    postgres, restored = PostgresServer(folder, port), PostgresServer(copy, port)
    postgres.start()
    try:
        postgres.wait_ready(READY_TIMEOUT_S)
        stack = stack_maker.on(replace(stack_maker.servers, postgres=postgres)).make(4, {})

        async def faults(run: Run) -> None:
            await asyncio.to_thread(backed_up, postgres, copy)
            await run.grown(intensity.pick(2_000, 50_000))
            await run.visible_within(30.0)
            stored = await count(stack)
            postgres.kill()
            shutil.rmtree(folder)
            restored.start()
            await asyncio.to_thread(restored.wait_ready, READY_TIMEOUT_S)
            held = await count(stack)
            struck(held < stored, "the backup held everything")
            seconds = await run.visible_within(60.0)
            intensity.saw(f"{held} of {stored} events were in the backup; all stored again after {seconds:.1f} s")

        await under_load(stack, spawn, faults, seed=intensity.seed)
    finally:
        postgres.stop()
        restored.stop()


async def count(stack: Stack) -> int:
    """How many events are stored."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    try:
        found: int = await connection.fetchval("SELECT count(*) FROM logs")
    finally:
        await connection.close()
    return found


@dataclass(slots=True)
class Client:
    """Sends single events to several gateways and asks several query APIs; each request is repeated once, elsewhere."""

    ledger: Ledger
    gateways: tuple[str, ...]
    queries: tuple[str, ...]
    answers: int = 0
    repeated: int = 0
    failed: list[str] = field(default_factory=list)

    async def send(self, session: aiohttp.ClientSession, turn: int) -> None:
        """One event."""
        now, identifier = datetime.now(UTC), uuid4()
        number, message = self.ledger.issue(SentEvent("LOW", "client", "rolling", now, None, identifier))
        body = {"severity": "LOW", "source": "client", "message": message}
        text = compact({**body, "timestamp": now.isoformat(), "id": str(identifier)})
        taken = await self._request(session, "POST", [url + INGEST for url in self.gateways], turn, text)
        self.ledger.settle(number, Fate.ACKED if taken else Fate.UNKNOWN)

    async def ask(self, session: aiohttp.ClientSession, turn: int) -> None:
        """One question."""
        await self._request(session, "GET", [f"{url}/api/v1/logs/recent" for url in self.queries], turn, None)

    async def _request(
        self, session: aiohttp.ClientSession, method: str, urls: list[str], turn: int, text: str | None
    ) -> bool:
        headers = {"Content-Type": "application/json"}
        told = ""
        for attempt in range(2):
            try:
                url = urls[(turn + attempt) % len(urls)]
                async with session.request(method, url, data=text, headers=headers) as answer:
                    await answer.read()
                    told = f"{answer.status} of {url}"
                    if answer.status < 300:
                        self.answers += 1
                        self.repeated += attempt
                        return True
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                told = f"{error!r} of {url}"
        self.failed.append(told)
        return False


@asynccontextmanager
async def busy(client: Client) -> AsyncIterator[None]:
    """Sends and asks all the while."""
    ended = asyncio.Event()

    async def work(first: int) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            for turn in itertools.count(first):
                if ended.is_set():
                    return
                await client.send(session, turn)
                await client.ask(session, turn)

    tasks = [asyncio.create_task(work(n)) for n in range(4)]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*tasks)


@row("F6")
async def test_everything_restarted_in_turn_is_not_seen_by_who_repeats_once(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    fleet, other = Fleet(stack, spawn, queries=1), Fleet(stack, spawn, workers=0, queries=1)
    await asyncio.to_thread(other.wait_ready)
    clients = []

    async def restarted(owner: Fleet, part: Part) -> None:
        await owner.terminate(part)
        owner.restart(part)
        await asyncio.to_thread(part.process.wait_http, part.ready_url, 60.0)

    async def faults(run: Run) -> None:
        client = Client(run.ledger, (fleet.gateway_url, other.gateway_url), (fleet.query_url, other.query_url))
        clients.append(client)
        async with busy(client):
            for _ in range(intensity.pick(1, 10)):
                for owner in (fleet, other):
                    for part in owner.parts:
                        await restarted(owner, part)

    await under_load(stack, spawn, faults, seed=intensity.seed, fleet=fleet)
    (client,) = clients
    struck(client.repeated, "no request met a process that was away")
    assert client.failed == []
    codes = {code for owner in (fleet, other) for part in owner.parts for code in part.exit_codes}
    assert codes == {0}
    intensity.saw(f"{client.answers} requests answered, {client.repeated} of them at the second attempt, none failed")
