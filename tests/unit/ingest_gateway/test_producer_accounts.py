"""What a producer is told of its own events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from ingest_gateway.accounts_report import ACCOUNT_PATH, AccountsReport
from ingest_gateway.contract import PRODUCER_HEADER
from ingest_gateway.producer_accounts import SKEW_NAMES, Account, ProducerAccounts
from tests.fakes.memory_figures import MemoryFigures
from tests.unit.ingest_gateway.gateway_client import EVENT, NOW, Gateway, assert_problem, make_gateway
from tests.unit.threatlog.access.key_bench import KeyBench, id_of
from threatlog.process.settings import Limits


class AccountBench:
    """A gateway that needs keys, with its accounts and their store."""

    def __init__(self) -> None:
        self.keys = KeyBench()
        self.accounts, self.store = ProducerAccounts(), MemoryFigures()
        self.report = AccountsReport(self.accounts, self.store)
        self.gateway: Gateway = make_gateway(
            limits=Limits(key_events_per_second=10), keys=self.keys.watch, accounts=self.accounts, report=self.report
        )

    async def send(self, key: str, *events: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return await self.gateway.http.post("/api/v1/logs/ingest/batch", json={"logs": events}, headers=headers)

    async def account(self, key: str) -> dict[str, Any]:
        answer = await self.gateway.http.get(ACCOUNT_PATH, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


async def test_a_producer_sees_what_became_of_its_own_events_and_nobody_else_s() -> None:
    bench = AccountBench()
    key, other = await bench.keys.key(), await bench.keys.key()
    await bench.report.write()
    bench.store.duplicates[id_of(key)] = 4
    await bench.send(key, EVENT, EVENT, {**EVENT, "severity": "LOUD"}, {"source": "x"})
    await bench.send(other, EVENT)
    found = await bench.account(key)
    assert found["key"] == {"id": id_of(key), "name": "web", "sources": None}
    assert (found["accepted"], found["rejected"], found["duplicates"], found["complete"]) == (2, 2, 4, True)
    assert found["rejected_by_reason"] == {"bad_severity": 1, "missing_field": 1}
    assert found["bytes"] > 100
    quota = found["quota"]
    assert (quota["events_per_second"], quota["bytes_per_second"], quota["bytes_used"]) == (10.0, None, None)
    assert 0 < quota["events_used"] <= 0.2
    assert (await bench.account(other))["accepted"] == 1


async def test_it_counts_the_other_gateways_and_what_this_one_counted_in_an_earlier_life() -> None:
    bench = AccountBench()
    key = await bench.keys.key()
    bench.store.rows = {
        (id_of(key), "a:1"): {"accepted": 5},
        (id_of(key), "b:1"): {"accepted": 7, "rejected.bad_id": 1},
    }
    await bench.send(key, EVENT)
    # Not before it is known what there was: it would be overwritten.
    assert (await bench.account(key))["complete"] is False
    await bench.report.write()
    found = await bench.account(key)
    assert (found["accepted"], found["rejected_by_reason"], found["complete"]) == (13, {"bad_id": 1}, True)
    assert bench.store.rows[id_of(key), "a:1"]["accepted"] == 6


async def test_without_postgresql_it_says_what_it_knows_and_that_this_is_not_all() -> None:
    bench = AccountBench()
    key = await bench.keys.key()
    await bench.send(key, EVENT)
    bench.store.away = True
    await bench.report.write()
    found = await bench.account(key)
    assert (found["accepted"], found["duplicates"], found["complete"]) == (1, None, False)
    bench.store.away = False
    await bench.report.write()
    assert bench.store.rows[id_of(key), "a:1"]["accepted"] == 1


async def test_what_was_refused_whole_counts_too() -> None:
    bench = AccountBench()
    key = await bench.keys.key()
    headers = {"Authorization": f"Bearer {key}"}
    await bench.send(key, {**EVENT, "severity": "LOUD"})
    await bench.gateway.http.post("/api/v1/logs/ingest", json={**EVENT, "id": "x"}, headers=headers)
    await bench.gateway.http.post("/api/v1/logs/ingest", json=EVENT, headers=headers)
    found = await bench.account(key)
    assert (found["accepted"], found["rejected_by_reason"]) == (1, {"bad_id": 1, "bad_severity": 1})


async def test_records_say_whose_they_are_only_where_keys_are_needed() -> None:
    bench = AccountBench()
    key = await bench.keys.key()
    await bench.send(key, EVENT)
    [headers] = [headers for partition in bench.gateway.publisher.log for _, headers in partition]
    assert (PRODUCER_HEADER, id_of(key).encode()) in headers
    plain = make_gateway()
    await plain.http.post("/api/v1/logs/ingest", json=EVENT)
    [headers] = [headers for partition in plain.publisher.log for _, headers in partition]
    assert PRODUCER_HEADER not in dict(headers)


async def test_where_no_keys_are_needed_nobody_has_an_account() -> None:
    assert_problem(await make_gateway().http.get(ACCOUNT_PATH), 404, "no_account")


@pytest.mark.parametrize(
    ("behind_s", "name"),
    [
        (-61, "ahead_over_1m"),
        (-2, "ahead_over_1s"),
        (0, "within_1s"),
        (2, "behind_over_1s"),
        (61, "behind_over_1m"),
        (4000, "behind_over_1h"),
    ],
)
def test_how_far_an_event_s_time_is_from_its_receipt_is_counted(behind_s: float, name: str) -> None:
    account = Account()
    account.saw_times([NOW - timedelta(seconds=behind_s), None], NOW)
    assert dict(account.counters) == {f"skew.{name}": 1}
    assert name in SKEW_NAMES
