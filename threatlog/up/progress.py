"""What `threatlog up` says while it works: a line for each step, with a moving mark on a terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TextIO

from rich.console import Console
from rich.text import Text


class Outlet:
    """A stream whose reader may leave: what cannot be written any more is dropped, and nobody hears of it.

    A closed terminal gives OSError, a pipe without a reader BrokenPipeError, on which rich 15 ends the program.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        """Writes it, or drops it."""
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """The same for what still waits."""
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()

    def _give_up(self) -> None:
        """What the stream holds back would fail once more when Python ends, and change the exit code."""
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class Progress:
    """Prints lines with the seconds since the start; plain where the output is no terminal."""

    def __init__(self, console: Console, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic
        self._start = monotonic()

    def step(self, text: str, style: str = "") -> None:
        """One line with the time in front."""
        elapsed = Text(f"{self._monotonic() - self._start:7.1f} s  ", style="dim")
        self._console.print(elapsed + Text(text, style=style), soft_wrap=True)

    def good(self, text: str) -> None:
        """A step that went well."""
        self.step(text, "green")

    def bad(self, text: str) -> None:
        """A step that did not."""
        self.step(text, "bold yellow")

    def text(self, text: str) -> None:
        """Text as it is, in long lines, so that it can be copied."""
        self._console.print(Text(text), soft_wrap=True)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Shows that something takes its time, on a terminal alone."""
        return self._console.status(Text(text)) if self._console.is_terminal else nullcontext()
