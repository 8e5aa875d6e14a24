"""Two workers under load, killed, stopped and frozen at random, a tenth of the transactions aborted: exactly once."""

from __future__ import annotations

import asyncio
import os
import random

import asyncpg
import pytest

from tests.conftest import MakeStack
from tests.e2e.agreement import Agreement
from tests.e2e.fleet import WORKER_FAULTS, Chaos, Fleet
from tests.e2e.ledger import Fate, Ledger
from tests.e2e.load import Load, Mix
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
DURATION_S = float(os.environ.get("THREATLOG_TEST_FAULTS_S", "40"))
SEED = int(os.environ.get("THREATLOG_TEST_SEED") or random.SystemRandom().randrange(1 << 32))

# A tenth of the transactions that move offsets is aborted: half of these in the middle, half at COMMIT. The choice is
# made by transaction, so that the partitions of one window share it. A sequence keeps its value through a rollback.
_ABORT_A_TENTH = """
CREATE SEQUENCE aborted_windows;
CREATE FUNCTION abort_some() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF mod(abs(hashint8(pg_current_xact_id()::text::bigint)), 20) = TG_ARGV[0]::int THEN
        PERFORM nextval('aborted_windows');
        RAISE EXCEPTION 'aborted by the test' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER abort_before BEFORE UPDATE ON consumer_offsets FOR EACH ROW
    WHEN (NEW.next_offset IS DISTINCT FROM OLD.next_offset) EXECUTE FUNCTION abort_some(0);
CREATE CONSTRAINT TRIGGER abort_at_commit AFTER UPDATE ON consumer_offsets DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.next_offset IS DISTINCT FROM OLD.next_offset) EXECUTE FUNCTION abort_some(1);
"""
_MEND = "DROP TRIGGER abort_before ON consumer_offsets; DROP TRIGGER abort_at_commit ON consumer_offsets"
_ABORTED = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM aborted_windows"
_TERMINATE_ONE = """
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'threatlog-stream'
    ORDER BY random() LIMIT 1) AS one"""


async def _terminate_sessions(dsn: str, rng: random.Random) -> int:
    """Ends a random session of the workers every second or so until it is cancelled; returns how many."""
    connection = await asyncpg.connect(dsn)
    terminated = 0
    try:
        while True:
            await asyncio.sleep(rng.uniform(0.3, 2.0))
            terminated += await connection.fetchval(_TERMINATE_ONE)
    except asyncio.CancelledError:
        return terminated
    finally:
        await connection.close()


async def _run_under_faults(
    stack: Stack, fleet: Fleet, ledger: Ledger, postgres: asyncpg.Connection[asyncpg.Record]
) -> None:
    load = Load(ledger, fleet.gateway_url, SEED, Mix())
    chaos = Chaos(fleet, random.Random(f"{SEED}-chaos"))
    await postgres.execute(_ABORT_A_TENTH)
    await load.start(stack.settings.kafka.bootstrap_servers, stack.settings.kafka.topic)
    terminator = asyncio.create_task(_terminate_sessions(stack.postgres_dsn, random.Random(f"{SEED}-sessions")))
    try:
        await chaos.run(DURATION_S)
    finally:
        terminator.cancel()
        await load.stop()
    terminated, aborted = await terminator, await postgres.fetchval(_ABORTED)
    await postgres.execute(_MEND)
    print(f"{ledger.summary()}; {dict(chaos.counts)}, {aborted} aborted, {terminated} sessions ended, {load.retries}")
    for part in fleet.workers:
        print(f"{part.name}: {part.lives} lives, stopped in {part.stop_times_s} s with {part.exit_codes}")
    # That the faults struck; a run without them would show nothing.
    assert min(chaos.counts[fault] for fault in WORKER_FAULTS) > 0
    assert aborted > 0
    assert terminated > 0
    assert load.retries > 0
    assert {code for part in fleet.workers for code in part.exit_codes} == {0}


async def test_every_acknowledged_event_is_stored_once_under_faults(make_stack: MakeStack, spawn: Spawner) -> None:
    print(f"seed: THREATLOG_TEST_SEED={SEED}")
    stack, ledger = make_stack(partitions=6), Ledger()
    fleet = Fleet(stack, spawn)
    await asyncio.to_thread(fleet.wait_ready)
    postgres = await asyncpg.connect(stack.postgres_dsn)
    try:
        await _run_under_faults(stack, fleet, ledger, postgres)
    finally:
        await postgres.close()
    async with Agreement(stack, ledger) as agreement:
        await agreement.assert_clean()
    assert ledger.count(Fate.ACKED) > 1000
    assert ledger.bad_acked > 0
    fleet.assert_alive()
