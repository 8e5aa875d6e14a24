"""What can go wrong with a server, said in one line and with the end of its log."""

from __future__ import annotations


class ServerError(Exception):
    """A server cannot be prepared, started or reached. The first line says why; log lines may follow."""


class PortUnusableError(ServerError):
    """No server could listen on a port; `fault` says why, as in "port 80 is taken by another program"."""

    def __init__(self, port: int, fault: str, variable: str) -> None:
        super().__init__(f"port {port} {fault}; set {variable} to a free one")
        self.port = port
        self.variable = variable


def in_words(error: OSError) -> str:
    """What the machine refused, and where, in one line."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {error.filename}" if error.filename else reason
