"""What every server that runs as a child has in common: prepare, start, wait, stop, and the faults that tests need."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from threatlog.embedded.child import ChildProcess, Launch
from threatlog.embedded.errors import PortUnusableError, ServerError, in_words
from threatlog.embedded.ports import LOOPBACK, fault_of

_POLL_INTERVAL_S = 0.05


class Server(ABC):
    """One real server on 127.0.0.1 with its data in one folder."""

    stop_signal = signal.SIGTERM
    ends_when_done = False

    def __init__(self, name: str, port: int, port_variable: str = "the port") -> None:
        self.name = name
        self.port = port
        self._port_variable = port_variable
        self._child: ChildProcess | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Makes the data folder where there is none yet; slow the first time, then nothing. Raises ServerError."""

    @abstractmethod
    def _launch(self) -> Launch:
        """The command, after `prepare`."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it answers its own protocol now. Raises OSError when it cannot be reached."""

    def _ports(self) -> tuple[tuple[int, str], ...]:
        """The ports that must be free for its start, and what to set where one is not."""
        return ((self.port, self._port_variable),)

    @property
    def address(self) -> str:
        """host:port"""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id. Raises ServerError before the first start."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.running

    @property
    def child(self) -> ChildProcess:
        """The process. Raises ServerError before the first start."""
        if self._child is None:
            raise ServerError(f"{self.name} was not started")
        return self._child

    def start(self) -> None:
        """Starts the process, prepared before where need be. Raises ServerError, PortUnusableError.

        Call it from a thread that outlives the server (see ChildProcess).
        """
        if self.running:
            return
        try:
            self.prepare()
            for port, variable in self._ports():
                if (fault := fault_of(port)) is not None:
                    raise PortUnusableError(port, fault, variable)
            self._child = ChildProcess(self._launch())
        except OSError as error:
            raise ServerError(f"{self.name} cannot be started: {in_words(error)}") from error

    def wait_ready(self, timeout_s: float) -> None:
        """Returns when it answers. Raises ServerError with the end of its log when it ends or is too late."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} does not answer on port {self.port} after {timeout_s:.0f} s{self._log()}"
                )
            time.sleep(_POLL_INTERVAL_S)

    def is_ready(self) -> bool:
        """Whether it answers now. Raises ServerError with the end of its log when it has ended."""
        code = self.child.exit_code
        if code is not None:
            raise ServerError(f"{self.name} ended with code {code}{self._log()}")
        with suppress(OSError):
            return self.answers()
        return False

    def request_stop(self) -> None:
        """Asks it to shut down in order, without waiting."""
        if self._child is not None:
            self._child.request_stop(self.stop_signal)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Shuts it down in order; kills it after `timeout_s`."""
        if self._child is not None:
            self._child.stop(timeout_s, self.stop_signal)

    def freeze(self) -> None:
        """Stops it in its tracks: connections stay open, nothing is answered."""
        self.child.freeze()

    def thaw(self) -> None:
        """Lets it go on."""
        self.child.thaw()

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self.child.kill()

    def _log(self) -> str:
        tail = self.child.log_tail()
        return f"; its log ({self.child.launch.log_path}) ends with:\n{tail}" if tail else ""
