"""What aiokafka raises is told apart, and what it knows is read without its assertions."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from stream_app.aiokafka_group import ConsumerView, KafkaLog, wait_for_kafka
from stream_app.outcomes import LogUnavailableError
from stream_app.retry import Backoff


def view_with(**state: Any) -> ConsumerView:
    """A view of one partition, named "tp", in this state."""
    states = {"tp": SimpleNamespace(**state)}
    assignment = SimpleNamespace(state_value=states.get)
    return ConsumerView(
        SimpleNamespace(_subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)))
    )


@pytest.mark.parametrize("error", [KafkaConnectionError("x"), RequestTimedOutError(), TimeoutError(), OSError()])
async def test_kafka_away_is_for_later(error: Exception) -> None:
    async def earliest_offsets(*_: Any) -> None:
        raise error

    log = KafkaLog("events")
    log.app = SimpleNamespace(consumer=SimpleNamespace(earliest_offsets=earliest_offsets))  # type: ignore[assignment]

    with pytest.raises(LogUnavailableError):
        await log.log_start(0)


@pytest.mark.parametrize(("stable", "end"), [(7, 7), (-1, 9), (None, 9)])
def test_the_end_is_that_of_what_is_decided(stable: int | None, end: int) -> None:
    assert view_with(highwater=9, lso=stable, timestamp=1000).last_fetch("tp") == (end, 1000)


def test_of_a_partition_that_is_gone_or_was_not_fetched_nothing_is_known() -> None:
    view = view_with(highwater=None, lso=None, timestamp=None, _position=None)

    assert (view.last_fetch("tp"), view.last_fetch("gone"), view.position("gone")) == (None, None, None)


async def test_kafka_is_waited_for_without_end() -> None:
    waiting = asyncio.ensure_future(wait_for_kafka("127.0.0.1:1", "test", Backoff(0.001, 0.002), random.Random(1)))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    waiting.cancel()

    assert done == set()
