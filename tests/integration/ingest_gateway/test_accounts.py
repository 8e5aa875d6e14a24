"""A producer's account over the whole path: duplicates found by the worker, and a gateway that starts anew."""

from __future__ import annotations

import json
import random
import signal
import urllib.request
from typing import Any

import pytest

from tests.integration.threatlog.test_keys import made, start
from tests.processes import EVENTUALLY_S, Spawned, Spawner, wait_until
from tests.servers import Stack
from threatlog.embedded.ports import free_port

pytestmark = pytest.mark.integration
EVENT = {
    "id": "01a20d0d-ae4b-7c3e-9f0a-5b1d2c3e4f50",
    "timestamp": "2026-11-24T10:15:30.123Z",
    "severity": "HIGH",
    "source": "web-01",
    "message": "m",
}


def asked(url: str, key: str, body: object = None) -> Any:
    """The decoded answer of a request with a key."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        return json.load(answer)


def test_duplicates_are_counted_for_who_sent_them_and_the_account_outlives_the_gateway(
    stack: Stack, spawn: Spawner
) -> None:
    key, other = made(stack, "ingest"), made(stack, "ingest")
    port = str(free_port(random.Random()))
    gateway, _ = start(spawn, stack, "gateway", THREATLOG_SERVER_PORT=port)
    url = f"http://127.0.0.1:{port}"
    start(spawn, stack, "stream")
    gateway.wait_http(f"{url}/readyz")
    for sender, times in ((key, 3), (other, 1)):
        for _ in range(times):
            asked(f"{url}/api/v1/logs/ingest", sender, EVENT)

    def account(sender: str) -> Any:
        return asked(f"{url}/api/v1/producers/me", sender)

    # Of four times the same event, one is stored, whoever's that was.
    wait_until(lambda: account(key)["duplicates"] + account(other)["duplicates"] == 3, 60, "duplicates are counted")
    assert account(key)["duplicates"] >= 2
    assert (account(key)["accepted"], account(other)["accepted"]) == (3, 1)
    again(gateway, spawn, stack, port)
    wait_until(lambda: account(key)["complete"], EVENTUALLY_S, "the gateway knows what it had counted")
    assert account(key)["accepted"] == 3


def again(gateway: Spawned, spawn: Spawner, stack: Stack, port: str) -> Spawned:
    """The gateway stopped and started on its port."""
    gateway.child.request_stop(signal.SIGTERM)
    assert gateway.wait_exit(15) == 0
    process, _ = start(spawn, stack, "gateway", THREATLOG_SERVER_PORT=port)
    process.wait_http(f"http://127.0.0.1:{port}/readyz")
    return process
