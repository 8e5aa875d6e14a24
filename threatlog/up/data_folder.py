"""The folder in which one `threatlog up` keeps its data, logs and ports, held by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from threatlog.embedded import ServerError


class DataFolder:
    """An open data folder. Its lock ends with the process, however that happens."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        """Use `open_data_folder`."""
        self.path = path
        self._lock = lock

    def log(self, part: str) -> Path:
        """The log file of one part."""
        return self.path / "logs" / f"{part}.log"

    def write_ports(self, ports: Mapping[str, object]) -> None:
        """Writes ports.json: a port, or a list of them, by the name of the part."""
        _write(self.path / "ports.json", json.dumps(ports, indent=2) + "\n")

    def write_environment(self, variables: Mapping[str, str]) -> Path:
        """Writes environment.sh, with which a shell's own `threatlog` commands reach these servers."""
        path = self.path / "environment.sh"
        _write(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())))
        return path

    def close(self) -> None:
        """Lets another process use the folder."""
        self._lock.close()


def open_data_folder(path: Path) -> DataFolder:
    """Makes the folder where need be, and holds it. Raises ServerError when it cannot, or when another holds it."""
    path = path.expanduser().absolute()
    try:
        (path / "logs").mkdir(parents=True, exist_ok=True)
        # Opened for appending: the holder's id must survive our look at it.
        lock = (path / "up.lock").open("a+", encoding="ascii")
    except OSError as error:
        raise ServerError(
            f"the data folder {path} cannot be used: {error.strerror}; choose another DATA_DIR"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise ServerError(
            f"the data folder {path} is in use by another `threatlog up` (process {holder}); "
            "stop that one, or choose another DATA_DIR"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return DataFolder(path, lock)


def _write(path: Path, text: str) -> None:
    """At once: a reader finds the old content or the new one."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
