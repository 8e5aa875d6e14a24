"""Structured log lines: one JSON object a line, and a repeated one at most once in ten seconds."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

import orjson

REPEAT_INTERVAL_S: Final = 10.0
# What tells apart two lines of the same message. Not all of `extra`: a count or an offset differs each time.
_ABOUT: Final = ("partition", "from_offset", "metrics_port", "asked")
_Key = tuple[str, int, str, tuple[str, ...]]
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Renders a record as `ts, level, service, logger, msg`, then what was given as `extra`, then the exception."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class RepeatFilter(logging.Filter):
    """Lets the same message of the same logger through once in ten seconds, with the number held back.

    It is the same only where it is about the same partition, worker or server.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._seen: dict[_Key, float] = {}
        self._held_back: dict[_Key, logging.LogRecord] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        about = tuple(str(vars(record).get(name)) for name in _ABOUT)
        key = (record.name, record.levelno, str(record.msg), about)
        now = self._monotonic()
        held_back = self._held_back.pop(key, None)
        repeated = getattr(held_back, "repeated", 0)
        if now - self._seen.get(key, -REPEAT_INTERVAL_S) < REPEAT_INTERVAL_S:
            record.repeated = repeated + 1
            self._held_back[key] = record
            return False
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = now
        if repeated:
            record.repeated = repeated
        return True

    def take_overdue(self, *, all_of_them: bool = False) -> list[logging.LogRecord]:
        """The last of each message that was held back and did not come again in ten seconds, once."""
        now = self._monotonic()
        overdue = [
            key
            for key in list(self._held_back)
            if all_of_them or now - self._seen.get(key, -REPEAT_INTERVAL_S) >= REPEAT_INTERVAL_S
        ]
        return [record for key in overdue if (record := self._held_back.pop(key, None)) is not None]


class RepeatHandler(logging.StreamHandler[TextIO]):
    """Writes what `repeats` lets through; what it still holds back goes out with the next line, or at the end."""

    def __init__(self, stream: TextIO, repeats: RepeatFilter) -> None:
        super().__init__(stream)
        self._repeats = repeats
        self.addFilter(repeats)

    def emit(self, record: logging.LogRecord) -> None:
        for held_back in self._repeats.take_overdue():
            super().emit(held_back)
        super().emit(record)

    def close(self) -> None:
        for held_back in self._repeats.take_overdue(all_of_them=True):
            super().emit(held_back)
        super().close()


def configure_logs(service: str, level: str) -> None:
    """Sends this process's log lines to standard error. Third-party loggers are held to warnings."""
    handler = RepeatHandler(sys.stderr, RepeatFilter())
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "faust", "mode", "asyncio", "yoyo", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
