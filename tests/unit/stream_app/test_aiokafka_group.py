"""What aiokafka raises is told apart, and what it knows is read without its assertions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from stream_app.aiokafka_group import ConsumerView, KafkaLog
from stream_app.outcomes import LogUnavailableError


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
