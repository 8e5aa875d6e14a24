"""Row F4: dead letters are looked at, sent again with each policy, twice, and with a crash in between."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.agreement import eventually
from tests.e2e.fleet import Fleet
from tests.faults.intensity import Intensity, row, struck
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
LONG = "m" * 200
TIGHT = {"THREATLOG_LIMITS_MAX_MESSAGE_BYTES": "100"}


def threatlog(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """The exit code and what `threatlog dead-letters` prints to both."""
    command = [sys.executable, "-m", "threatlog", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


async def produced(stack: Stack, *values: object) -> None:
    """Puts records straight into the topic."""
    kafka = stack.settings.kafka
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    for value in values:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        await producer.send_and_wait(kafka.topic, content, headers=[("trace", b"\x00\x01")])
    await producer.stop()


async def fetched(stack: Stack, query: str) -> list[Any]:
    """The rows of a query."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def count_of(stack: Stack, query: str, wanted: int) -> None:
    """Returns when the query counts so many."""

    async def another() -> str:
        found = (await fetched(stack, query))[0][0]
        return "" if found == wanted else f"{found} instead of {wanted}"

    await eventually(another, 60.0, query)


@row("F4")
async def test_dead_letters_sent_again_are_stored_once_and_keep_their_place(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    many = intensity.pick(20, 2000)
    events = [{"severity": "HIGH", "source": f"s{n}", "message": f"{n} {LONG}"} for n in range(many)]
    fleet = Fleet(stack, spawn, workers=1)
    worker = fleet.workers[0]
    await asyncio.to_thread(fleet.wait_ready)
    await fleet.terminate(worker)
    worker.environment.update(TIGHT)
    fleet.restart(worker)
    await produced(stack, *events, b"no event at all")
    await count_of(stack, "SELECT count(*) FROM dead_letters", many + 1)
    environment = dict(stack.environment)
    # Under the settings that refused them nothing can be sent.
    code, said, why = threatlog({**environment, **TIGHT}, "dead-letters", "redrive", "--max", "5000")
    assert (code, said.strip()) == (1, "0 sent again, 0 put aside, 1 left")
    assert "still cannot be stored: message_too_large" in why
    struck((await fetched(stack, "SELECT count(*) FROM logs"))[0][0] == 0, "the events were stored at once")
    # The limit is raised, and half are driven; then all are, as if the first drive had not been noted.
    await fleet.terminate(worker)
    for name in TIGHT:
        del worker.environment[name]
    fleet.restart(worker)
    half = ["dead-letters", "redrive", "--policy", "reinsert", "--max", str(many // 2)]
    code, said, why = threatlog(environment, *half)
    assert code == 0, why
    await fetched(stack, "UPDATE dead_letters SET settled_at = NULL, settled_as = NULL RETURNING 1")
    code, said, why = threatlog(environment, "dead-letters", "redrive", "--policy", "drop-invalid", "--max", "5000")
    assert (code, said.strip()) == (0, f"{many} sent again, 1 put aside, 0 left"), why
    await count_of(stack, "SELECT count(*) FROM logs", many)
    assert threatlog(environment, "dead-letters", "redrive")[1].strip() == "0 sent again, 0 put aside, 0 left"
    await _look(stack, environment, many)
    intensity.saw(f"{many + many // 2} sent for {many} letters: each event once")


async def _look(stack: Stack, environment: dict[str, str], many: int) -> None:
    """What stays of the letters, and what is found of their events."""
    offsets = "SELECT count(*) FROM consumer_offsets WHERE next_offset > 0"
    await count_of(stack, offsets, stack.settings.kafka.partitions)
    [totals] = await fetched(stack, "SELECT count(DISTINCT source) AS n, sum(n) AS total FROM log_rollup_total")
    assert (totals["n"], totals["total"]) == (many, many)
    # The receipt is the first one's, not that of the drive.
    late = "SELECT count(*) FROM logs WHERE received_at > (SELECT max(appended_at) FROM dead_letters)"
    assert (await fetched(stack, late))[0][0] == 0
    _, _, said = threatlog(environment, "dead-letters", "list")
    code, listed, _ = threatlog(environment, "dead-letters", "list", "--all", "--json", "--limit", "5000")
    letters = [json.loads(line) for line in listed.splitlines()]
    assert (code, len(letters)) == (0, many + 1)
    assert [one["settled_as"] for one in letters].count("redriven") == many
    assert "0 open of" in said
    driven = next(one for one in letters if one["settled_as"] == "redriven")
    assert driven["redriven_to"] is not None
    code, shown, _ = threatlog(environment, "dead-letters", "show", f"{driven['partition']}/{driven['offset']}")
    assert code == 0
    assert LONG in shown
    assert '"trace"' in shown
    audit = [json.loads(line) for line in threatlog(environment, "audit", "--json")[1].splitlines()]
    assert {entry["action"] for entry in audit} == {"dead_letters.redriven"}
    assert threatlog(environment, "dead-letters", "show", "0/99999999")[0] == 1
