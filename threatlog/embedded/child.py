"""One child process that dies with its parent, writes to a log file, and is ended by its own id."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from threatlog.embedded.errors import ServerError
from threatlog.process.tether import tethered

_LOG_LIMIT_BYTES = 20 << 20
_TAIL_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group a child runs as."""

    name: str
    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        """Both by number."""
        return self.uid, self.gid


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a child: its command, its log file, and where and as whom it runs.

    `death_signal` is what the kernel sends it when this process, or the thread that started it, ends.
    """

    command: tuple[str, ...]
    log_path: Path
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    account: Account | None = None
    death_signal: signal.Signals = signal.SIGKILL


class ChildProcess:
    """A started child. It leads its own process group, so Ctrl-C in a terminal does not reach it.

    Start it from a thread that outlives it: the kernel takes the end of that thread for the end of the parent.
    """

    def __init__(self, launch: Launch) -> None:
        """Starts the child. Raises OSError when its log file cannot be opened.

        Where the program cannot be started the log says so, and the exit code is 127.
        """
        self.launch = launch
        launch.log_path.parent.mkdir(parents=True, exist_ok=True)
        _turn_over(launch.log_path)
        with launch.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                tethered(launch.command, launch.death_signal, launch.account.ids if launch.account else None),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=launch.environment,
                cwd=launch.folder,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet; a frozen child is running."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the child alone; nothing happens when it has ended."""
        self._process.send_signal(number)

    def request_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Asks it to end. It is thawed as well, since a frozen process cannot answer."""
        self.send(number)
        self.thaw()

    def wait(self, timeout_s: float) -> int | None:
        """Waits for its end and returns the exit code; None when it still runs after `timeout_s`."""
        try:
            return self._process.wait(max(timeout_s, 0.0))
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout_s: float, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end, kills it after `timeout_s`, and returns the exit code."""
        self.request_stop(number)
        code = self.wait(timeout_s)
        return self.kill() if code is None else code

    def freeze(self) -> None:
        """Stops it and its own children in their tracks (SIGSTOP)."""
        self._signal_tree(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on (SIGCONT)."""
        self._signal_tree(signal.SIGCONT)

    def kill(self) -> int:
        """Ends it and its own children at once (SIGKILL) and returns the exit code."""
        self._signal_tree(signal.SIGKILL)
        return self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines it wrote since its start."""
        with suppress(OSError), self.launch.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def _signal_tree(self, number: signal.Signals) -> None:
        if self._process.poll() is not None:
            return
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            if number != signal.SIGCONT:
                # Frozen first: it starts no further children, and its children still are its own while we list them.
                parent.send_signal(signal.SIGSTOP)
            for process in (*parent.children(recursive=True), parent):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


def run_to_end(
    command: Sequence[str],
    timeout_s: float,
    *,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    account: Account | None = None,
) -> tuple[int, str]:
    """Runs a short program, which dies with its parent too, and returns its exit code and all it printed.

    The code is 127 when it cannot be started. Raises ServerError when it is too late.
    """
    try:
        result = subprocess.run(
            tethered(command, signal.SIGKILL, account.ids if account else None),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=environment,
            cwd=folder,
            process_group=0,
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"{command[0]} did not end within {timeout_s:g} s") from None
    return result.returncode, result.stdout


def _turn_over(log_path: Path) -> None:
    """Keeps one older log beside the current one, so that logs do not grow for ever."""
    with suppress(FileNotFoundError):
        if log_path.stat().st_size > _LOG_LIMIT_BYTES:
            log_path.replace(log_path.with_suffix(f"{log_path.suffix}.1"))
