"""Unit tests reach no server, by accident or otherwise."""

from __future__ import annotations

import asyncio
import socket

import pytest


def test_a_unit_test_cannot_connect() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="must not use the network"):
        client.connect(("127.0.0.1", 9))


def test_a_unit_test_cannot_listen() -> None:
    with socket.socket() as server, pytest.raises(RuntimeError, match="must not use the network"):
        server.bind(("127.0.0.1", 0))


async def test_the_event_loop_and_unix_sockets_work() -> None:
    left, right = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=left)
    writer.write(b"x")
    await writer.drain()
    assert await asyncio.to_thread(right.recv, 1) == b"x"
    writer.close()
    right.close()
