"""Asks a server on 127.0.0.1 one question in its own protocol, to learn whether it is ready; no client library."""

from __future__ import annotations

import socket
import struct

from threatlog.embedded.ports import LOOPBACK

_TIMEOUT_S = 1.0


def kafka_answers(port: int) -> bool:
    """Whether Kafka lists at least one live broker in its metadata. Raises OSError."""
    with _connected(port) as connection:
        connection.sendall(_METADATA_REQUEST)
        answer = connection.recv(16, socket.MSG_WAITALL)
    # Length, correlation id, throttle time, then the number of brokers; a fenced broker is not counted.
    return len(answer) == 16 and struct.unpack(">iiii", answer)[3] > 0


def postgres_answers(port: int, user: str, database: str) -> bool:
    """Whether PostgreSQL lets the user in; while it starts or recovers it refuses. Raises OSError."""
    with _connected(port) as connection:
        connection.sendall(_startup_message(user, database))
        accepted = connection.recv(1) == b"R"
        connection.sendall(b"X\0\0\0\4")  # Terminate, so that the server's log stays quiet.
        return accepted


def redis_answers(port: int) -> bool:
    """Whether Redis answers PING. Raises OSError."""
    with _connected(port) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port), _TIMEOUT_S)
    connection.settimeout(_TIMEOUT_S)
    return connection


def _metadata_request() -> bytes:
    """Metadata request version 4 for no topic (https://kafka.apache.org/protocol.html#The_Messages_Metadata)."""
    client = b"threatlog-probe"
    header = struct.pack(">hhih", 3, 4, 1, len(client)) + client
    body = struct.pack(">ib", 0, 0)
    return struct.pack(">i", len(header) + len(body)) + header + body


def _startup_message(user: str, database: str) -> bytes:
    """https://www.postgresql.org/docs/18/protocol-message-formats.html, StartupMessage of protocol 3.0."""
    body = struct.pack(">i", 196608) + f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack(">i", len(body) + 4) + body


_METADATA_REQUEST = _metadata_request()
