"""What aiokafka raises is told apart, and what it knows is read without its assertions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from stream_app.aiokafka_group import KafkaLog, set_beyond_faust
from stream_app.consumer_view import ConsumerView
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


async def test_only_where_the_group_is_joined_an_answer_is_waited_for_as_long_as_kafka_may_hold_it_back() -> None:
    async def connect(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(_request_timeout=client._request_timeout_ms / 1000)

    client = SimpleNamespace(_request_timeout_ms=40_000, _get_conn=connect)
    set_beyond_faust(SimpleNamespace(_client=client))

    of_records = await client._get_conn(1)
    of_the_group = await client._get_conn(1, group=ConnectionGroup.COORDINATION)
    assert (of_records._request_timeout, of_the_group._request_timeout) == (10.0, 40.0)


async def test_no_connection_stays_none() -> None:
    async def connect(*_: Any, **__: Any) -> None:
        return None

    client = SimpleNamespace(_request_timeout_ms=40_000, _get_conn=connect)
    set_beyond_faust(SimpleNamespace(_client=client))

    assert await client._get_conn(1, group=ConnectionGroup.COORDINATION) is None
