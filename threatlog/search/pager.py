"""Where output goes: to standard output, or through a pager that is started for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

_DEFAULT: Final = "less"
# Colours are shown, one screen needs no key, and what was shown stays.
_LESS: Final = "FRX"


def pager_command(environ: Mapping[str, str]) -> list[str]:
    """The pager of this environment; empty where there is none, or `cat`."""
    try:
        command = shlex.split(environ.get("PAGER", _DEFAULT))
    except ValueError:
        return []
    if not command or command[0] == "cat" or shutil.which(command[0], path=environ.get("PATH")) is None:
        return []
    return command


def shows_colours(command: list[str]) -> bool:
    """Whether the pager passes colours on; of others than less it is not known."""
    return os.path.basename(command[0]) == "less"  # noqa: PTH119 - a word of a command, no path of ours


@contextmanager
def paged(command: list[str], environ: Mapping[str, str]) -> Iterator[BinaryIO]:
    """What is written goes through the pager; returns when it has ended.

    Ctrl-C is the pager's while it runs: it stays until it is left.
    """
    pager = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": _LESS, **environ})
    assert pager.stdin is not None
    try:
        yield _as_binary(pager.stdin)
    finally:
        with suppress(BrokenPipeError):
            pager.stdin.close()
        _wait(pager)


def _as_binary(stream: object) -> BinaryIO:
    assert hasattr(stream, "write")
    return stream  # type: ignore[return-value] # Popen says IO[bytes], which is one.


def _wait(pager: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            pager.wait()
        except KeyboardInterrupt:
            continue
        else:
            return


def leave_standard_output() -> None:
    """Nothing is written there any more, also not by the interpreter as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
