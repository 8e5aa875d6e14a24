"""What can go wrong with a server, said in one line and with the end of its log."""

from __future__ import annotations


class ServerError(Exception):
    """A server cannot be prepared, started or reached. The first line says why; log lines may follow."""


class PortTakenError(ServerError):
    """A port belongs to another program."""

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(f"port {port} is taken by another program; set {variable} to a free one")
        self.port = port
        self.variable = variable
