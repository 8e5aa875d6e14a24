"""Whoever closes the connection is noticed while the answer is made, and not before it may be there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from query_api.departure import AtOnce, GoneError, until_gone

Messages = Callable[[], Awaitable[dict[str, Any]]]


def asked(receive: Messages) -> Request:
    return Request({"type": "http", "method": "GET", "headers": []}, receive)


async def still_there() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_quick_answer_costs_no_look_at_the_connection() -> None:
    async def looked_at() -> dict[str, Any]:
        raise AssertionError

    async def quick() -> bytes:
        return b"here"

    assert await until_gone(asked(looked_at), quick()) == b"here"


async def test_a_slow_one_is_given_to_who_waits() -> None:
    async def slow() -> bytes:
        await asyncio.sleep(0.02)
        return b"here"

    assert await until_gone(asked(still_there), slow(), after_s=0.0) == b"here"


async def test_its_failure_is_the_requests() -> None:
    async def failing() -> bytes:
        await asyncio.sleep(0.02)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await until_gone(asked(still_there), failing(), after_s=0.0)


async def test_who_has_gone_ends_it() -> None:
    ended = asyncio.Event()

    async def endless() -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    messages = iter(({"type": "http.request", "body": b""}, {"type": "http.disconnect"}))

    async def leaving() -> dict[str, Any]:
        return next(messages)

    with pytest.raises(GoneError):
        await until_gone(asked(leaving), endless(), after_s=0.0)
    async with asyncio.timeout(5):
        await ended.wait()


async def test_what_is_there_already_is_given_without_a_look_at_the_connection() -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError("nobody is to look")

    assert await until_gone(asked(never), AtOnce(b"here"), after_s=0.0) == b"here"
    assert await AtOnce(b"here") == b"here"
