"""`loadgen ledger`: sends, keeps account of every event, and checks what the API and the tables hold."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from loadgen.clock import SystemClock
from loadgen.http_connection import HttpClient, parse_url
from loadgen.kafka_login import KafkaLogin
from loadgen.kafka_sender import KafkaSender
from loadgen.oracle_check import CheckResult, OracleCheck
from loadgen.oracle_file import OracleFile
from loadgen.oracle_run import OraclePlan, OracleRun
from loadgen.postgres_rows import PostgresRows, RowsUnavailableError
from loadgen.query_client import QueryClient, QueryFailedError

EXIT_OK: Final = 0
EXIT_BROKEN: Final = 1
EXIT_UNVERIFIED: Final = 3
EXIT_VOID: Final = 4
_POLL_S: Final = 1.0
_POLLS_WITHOUT_PROGRESS: Final = 5
_PROBE_WITHIN_S: Final = 30.0
_CONNECTIONS: Final = 64
_QUERY_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class OracleOptions:
    """What the command line says."""

    db: Path
    gateway_url: str
    query_url: str
    kafka_bootstrap: str
    topic: str
    postgres: str
    api_key: str
    faults: str
    min_acknowledged: int
    verify_timeout_s: float
    timeout_s: float
    kafka_login: KafkaLogin = field(default_factory=KafkaLogin)


class OracleSession:
    """One run, or the check of one; for the command, and for tests that hurt what it runs against."""

    def __init__(self, options: OracleOptions) -> None:
        """Raises ValueError for a URL that is none."""
        self._options = options
        self._http = HttpClient(parse_url(options.gateway_url, options.api_key), options.timeout_s)
        self._reader = QueryClient(HttpClient(parse_url(options.query_url, options.api_key), _QUERY_TIMEOUT_S))
        self._kafka = KafkaSender(options.kafka_bootstrap, options.topic, options.timeout_s, options.kafka_login)
        self.file = OracleFile(options.db)
        self._clock = SystemClock()
        self._run: OracleRun | None = None

    async def send(self, plan: OraclePlan) -> None:
        """Sends, and ends with a fresh event. Raises TargetUnreachableError, and ValueError for a file in use."""
        self.file.begin(plan.run, plan.seed, self._options.faults)
        await self._kafka.open()
        self._run = OracleRun(plan, self.file, self._http, self._kafka, self._clock)
        try:
            await self._run.execute()
            await self._run.probe()
        finally:
            await self._kafka.close()

    def stop(self) -> None:
        """Issues nothing more."""
        if self._run is not None:
            self._run.stop()

    async def check(self) -> list[CheckResult]:
        """Waits until nothing is missing or no progress is made, then checks. Raises QueryFailedError and others."""
        found = self.file.run()
        if found is None:
            raise ValueError("the file holds no run")
        checking = OracleCheck(self.file, found[0])
        await self._drained(checking)
        rows = await PostgresRows.open(self._options.postgres) if self._options.postgres else None
        try:
            return await checking.against(rows, self._reader)
        finally:
            if rows is not None:
                await rows.close()

    async def _drained(self, checking: OracleCheck) -> None:
        ends_s, without, least = self._clock.now_s() + self._options.verify_timeout_s, 0, -1
        while self._clock.now_s() < ends_s and without < _POLLS_WITHOUT_PROGRESS:
            try:
                missing = await checking.read_api(self._reader)
            except QueryFailedError:
                await asyncio.sleep(_POLL_S)
                continue
            if not missing:
                return
            without = 0 if least < 0 or missing < least else without + 1
            least = missing if least < 0 else min(least, missing)
            await asyncio.sleep(_POLL_S)

    def disconnect(self) -> None:
        """Ends the connections, inside the event loop that made them."""
        self._http.close()
        self._reader.close()


def verdict(file: OracleFile, results: Sequence[CheckResult], min_acknowledged: int) -> tuple[int, dict[str, Any]]:
    """The exit code and the line of JSON."""
    counts, run = file.counts(), file.run()
    assert run is not None
    broken = [result.name for result in results if result.broken]
    void = counts["acknowledged"] < min_acknowledged
    code = EXIT_BROKEN if broken else EXIT_VOID if void else EXIT_OK
    line = {
        "run": run[0],
        "seed": run[1],
        "faults": run[2],
        **counts,
        "checks": {result.name: result.broken for result in results},
        "verdict": "broken" if broken else "void" if void else "clean",
    }
    return code, line


def print_checks(console: Console, results: Sequence[CheckResult], line: dict[str, Any]) -> None:
    """The table for people."""
    table = Table(box=None, pad_edge=False)
    for name in ("check", "result", "such as"):
        table.add_column(name, overflow="fold")
    for result in results:
        word = "not checked" if result.broken is None else f"{result.broken} broken" if result.broken else "holds"
        table.add_row(result.name, word, ", ".join(result.first_ids))
    console.print(table)
    counts = ", ".join(f"{line[name]:,} {name}" for name in ("acknowledged", "refused", "unknown", "issued"))
    console.print(f"{counts}: {line['verdict']}", highlight=False)


def run_command(options: OracleOptions, plan: OraclePlan | None) -> int:
    """Sends (with a plan) and checks; prints a table and a line of JSON; the exit code."""

    async def work() -> list[CheckResult]:
        try:
            if plan is not None:
                loop = asyncio.get_running_loop()
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, session.stop)
                await session.send(plan)
            return await session.check()
        finally:
            session.disconnect()

    session = OracleSession(options)
    try:
        results = asyncio.run(work())
    except (QueryFailedError, RowsUnavailableError) as error:
        click.echo(f"loadgen: it could not be checked: {error}; again: --check-only --db {options.db}", err=True)
        return EXIT_UNVERIFIED
    else:
        code, line = verdict(session.file, results, options.min_acknowledged)
        print_checks(Console(stderr=True), results, line)
        click.echo(json.dumps(line))
        return code
    finally:
        session.file.close()


def new_run_name() -> str:
    """Eight letters and digits that no other run has."""
    return f"{SystemRandom().getrandbits(32):08x}"
