"""A request to stop that comes as a signal, and waiting that ends with it."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopRequestedError(Exception):
    """Ctrl-C, SIGTERM or SIGHUP came while something was waited for."""


class StopRequest:
    """Whether we were asked to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def listen(self) -> None:
        """Takes Ctrl-C, SIGTERM and the end of the terminal as the request. Repeated ones change nothing.

        One that we were started to ignore stays ignored: that is what `nohup` is for.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()

    @property
    def made(self) -> bool:
        """Whether it came."""
        return self._event.is_set()

    def sleep(self, seconds: float) -> None:
        """Sleeps. Raises StopRequestedError at once when the request comes."""
        if self._event.wait(seconds):
            raise StopRequestedError
