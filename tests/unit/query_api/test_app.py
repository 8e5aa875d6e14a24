"""The HTTP answers of the query API over an event reader in memory."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import httpx
import msgspec
import pytest

from ingest_gateway.contract import unix_us
from query_api.completeness import Lag
from tests.unit.query_api.app_bench import HOUR, Bench, page
from tests.unit.query_api.builders import NOON, logged_event, moment


async def test_a_page_is_newest_first_with_its_total_and_how_complete_it_is(client: httpx.AsyncClient) -> None:
    found = await page(client, limit="2")
    assert (found["total"], found["count"], found["cached"]) == (5, 2, False)
    assert [log["message"] for log in found["logs"]] == ["message 4", "message 3"]
    assert found["complete_until"] == found["total_complete_until"] == "2024-03-12T14:00:00Z"
    assert found["lag"] == {"events": 12, "as_of": "2024-03-12T12:00:00Z", "stale": False}


async def test_an_event_has_the_documented_fields_and_attributes_only_where_there_are_any(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    raw = b'{"b":  1, "a":1.0}'
    bench.reader.stored = [logged_event(1), msgspec.structs.replace(logged_event(2), attributes=msgspec.Raw(raw))]
    answer = await client.get("/api/v1/logs/query", params=HOUR)
    assert raw in answer.content
    second, first = answer.json()["logs"]
    assert list(first) == ["id", "timestamp", "severity", "source", "message", "ingested_at"]
    assert list(second) == [*first, "attributes"]


async def test_filters_narrow_the_page_and_the_total(client: httpx.AsyncClient) -> None:
    assert (await page(client, severity="HIGH"))["total"] == 2
    assert (await page(client, source="nowhere"))["logs"] == []


async def test_following_the_cursor_gives_every_event_once(client: httpx.AsyncClient) -> None:
    seen, cursor = [], None
    while True:
        found = await page(client, limit="2", **({"cursor": cursor} if cursor else {}))
        seen += [log["message"] for log in found["logs"]]
        assert found["total"] == 5
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"message {n}" for n in (4, 3, 2, 1, 0)]


async def test_the_total_by_cursor_stays_the_first_pages(bench: Bench, client: httpx.AsyncClient) -> None:
    first = await page(client, limit="2")
    bench.reader.stored.append(logged_event(50))
    bench.reader.stored_until_us = {0: unix_us(moment(9000))}
    second = await page(client, limit="2", cursor=first["next_cursor"])
    assert second["total"] == 5
    assert second["total_complete_until"] == first["complete_until"]
    assert second["complete_until"] == "2024-03-12T14:30:00Z"


async def test_a_repeated_question_is_answered_from_the_cache_and_says_so(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    first = await page(client)
    bench.clock.now_s += 5
    second = await page(client)
    assert (second.pop("cached"), second.pop("age_ms")) == (True, 5000)
    assert (first.pop("cached"), first.pop("age_ms")) == (False, 0)
    assert second == first
    assert bench.reader.asked == 1


@pytest.mark.parametrize("path", ["/api/v1/logs/query", "/api/v1/stats"])
async def test_a_cached_answer_has_the_lag_of_now(bench: Bench, client: httpx.AsyncClient, path: str) -> None:
    await client.get(path, params=HOUR)
    bench.surroundings.known_lag = Lag(99, moment(5), stale=True)
    found = (await client.get(path, params=HOUR)).json()
    assert found["cached"] is True
    assert found["lag"] == {"events": 99, "as_of": "2024-03-12T12:00:05Z", "stale": True}
    assert list(found)[-1] == "lag"


async def test_a_range_that_is_still_filling_is_kept_for_a_shorter_time(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    bench.reader.stored_until_us = {0: unix_us(moment(3599))}
    await page(client)
    bench.clock.now_s += 1.1
    assert (await page(client))["cached"] is False


async def test_an_answer_says_why_it_cannot_tell_how_complete_it_is(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.reader.stored_until_us = {}
    found = await page(client)
    assert found["complete_until"] is None
    assert "no worker" in found["incomplete_reason"]


async def test_one_event_is_found_by_its_id(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/v1/logs/{logged_event(3).id}")
    assert answer.status_code == 200
    assert answer.json()["message"] == "message 3"
    assert answer.json()["complete_until"] == "2024-03-12T14:00:00Z"


async def test_an_unknown_id_is_not_found_and_says_how_complete_that_is(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/v1/logs/{UUID(int=9)}")
    assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")
    assert answer.json()["complete_until"] == "2024-03-12T14:00:00Z"
    assert answer.json()["lag"] == {"events": 12, "as_of": "2024-03-12T12:00:00Z", "stale": False}


async def test_the_exact_time_may_be_given_with_an_id(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/logs/{logged_event(3).id}"
    assert (await client.get(path, params={"timestamp": "2024-03-12T12:00:03Z"})).status_code == 200
    assert (await client.get(path, params={"timestamp": "2024-03-12T12:00:04Z"})).status_code == 404


async def test_recent_events_say_where_they_came_from(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/logs/recent", params={"limit": "2", "severity": "LOW"})).json()
    assert (found["count"], found["served_from"]) == (2, "postgres")
    assert [log["message"] for log in found["logs"]] == ["message 4", "message 2"]


async def test_counts_are_by_severity_and_source(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.reader.stored += [logged_event(10 + n, source=f"host-{n:03d}") for n in range(101)]
    found = (await client.get("/api/v1/stats", params=HOUR)).json()
    assert found["total"] == 106
    assert found["by_severity"] == {"CRITICAL": 0, "HIGH": 103, "MEDIUM": 0, "LOW": 3, "INFO": 0}
    assert found["by_source"]["web-01"] == 5
    assert len(found["by_source"]) == 100
    assert found["other"] == {"sources": 2, "count": 2}


async def test_metrics_are_those_of_all_processes(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/metrics")).json()
    assert (found["total_logs_ingested"], found["total_queries"], found["uptime_seconds"]) == (5, 3, 9.0)
    assert (found["complete_until"], found["incomplete_reason"]) == (None, "Kafka is away")
    assert found["lag"] == {"events": 12, "as_of": "2024-03-12T12:00:00Z", "stale": False}


async def test_the_lag_is_told_as_it_is_known(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/lag")).json()
    assert (found["stale"], found["detail"]) == (True, "Kafka is away")


async def test_a_question_of_seven_days_ago_is_the_same_question_in_another_zone(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    await page(client)
    shifted = (NOON + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")
    assert (await page(client, start_time=shifted))["cached"] is True
