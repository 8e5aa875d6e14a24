"""`threatlog search --follow` on real processes: what was there, then what comes, each once, over a break."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests.e2e.fleet import Fleet
from tests.processes import Spawned, Spawner, http_json, wait_until
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
_EXIT_INTERRUPTED = 130


def send(fleet: Fleet, *texts: str) -> None:
    logs = [{"severity": "LOW", "source": "web-01", "message": text} for text in texts]
    status, _ = http_json(f"{fleet.gateway_url}/api/v1/logs/ingest/batch", {"logs": logs})
    assert status == 201


def shown(following: Spawned) -> Counter[str]:
    """The messages it has written."""
    lines = (line for line in following.log_text().splitlines() if line.startswith("{") and line.endswith("}"))
    return Counter(json.loads(line)["message"] for line in lines)


async def test_it_shows_each_event_once_also_those_that_come_while_the_query_api_is_away(
    stack: Stack, spawn: Spawner
) -> None:
    fleet = Fleet(stack, spawn, workers=1, queries=1)
    await asyncio.to_thread(fleet.wait_ready)
    send(fleet, "a needle before", "hay before")
    figures = f"{fleet.query_url}/api/v1/metrics"
    wait_until(lambda: http_json(figures, method="GET")[1]["total_logs_ingested"] == 2, 30, "both are stored")
    options = ("--since", "1h", "--follow", "--output", "json", "--url", fleet.query_url)
    following = spawn("follow", ("-m", "threatlog", "search", "needle", *options), stack.with_environment())
    expected = {"a needle before"}
    wait_until(lambda: set(shown(following)) == expected, 30, "what was there is shown")
    for part in range(2):
        send(fleet, f"needle {part}", f"hay {part}")
        expected.add(f"needle {part}")
        wait_until(lambda: set(shown(following)) == expected, 30, "what comes is shown")
        fleet.kill(fleet.queries[0])
        send(fleet, f"needle meanwhile {part}", "hay")
        expected.add(f"needle meanwhile {part}")
        fleet.restart(fleet.queries[0])
        wait_until(lambda: set(shown(following)) == expected, 60, "what came meanwhile is shown")
    assert set(shown(following).values()) == {1}

    following.child.send(signal.SIGINT)
    assert following.wait_exit(10) == _EXIT_INTERRUPTED
    assert "Traceback" not in following.log_text()
