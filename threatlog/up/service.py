"""One of our own services, or one that has no port, as a child process with a health check over HTTP."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from threatlog.embedded import Server
from threatlog.embedded.child import Launch

_HEALTH_TIMEOUT_S = 1.0
READY_PATH = "/readyz"


class Service(Server):
    """A service that answers 200 at /readyz on its port once it can work."""

    def __init__(self, name: str, launch: Launch, host: str, port: int, port_variable: str) -> None:
        super().__init__(name, port, port_variable)
        self._host = host
        self._command = launch

    def prepare(self) -> None:
        """Nothing: its servers are ready when it is started."""

    def _launch(self) -> Launch:
        return self._command

    def answers(self) -> bool:
        """Whether it says that it is ready."""
        with closing(http.client.HTTPConnection(self._host, self.port, timeout=_HEALTH_TIMEOUT_S)) as connection:
            try:
                connection.request("GET", READY_PATH)
                return connection.getresponse().status == 200
            except http.client.HTTPException:
                return False


class Portless(Service):
    """A process without a port, which is ready while it runs."""

    def __init__(self, name: str, launch: Launch) -> None:
        super().__init__(name, launch, host="", port=0, port_variable="")

    def _ports(self) -> tuple[tuple[int, str], ...]:
        return ()

    def answers(self) -> bool:
        """Always: it has no port to ask."""
        return True


class Sender(Portless):
    """One that ends when it has sent its share."""

    ends_when_done = True


def python_launch(python: str, module: tuple[str, ...], log_path: Path, environment: Mapping[str, str]) -> Launch:
    """`python -m module ...` with its own log file."""
    return Launch((python, "-m", *module), log_path, environment=environment)
