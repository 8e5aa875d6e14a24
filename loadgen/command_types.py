"""Option types of the command line: durations such as `90s`, moments, and files to write."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

NOW: Final = "now"
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType):
    """Seconds as a number, or with a unit: `250ms`, `90s`, `15m`, `1h`, `2d`."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration such as 250ms, 90s, 15m, 1h or 2d", param, ctx)
        return float(match[1]) * _UNITS_S[match[2]]


class Start(click.ParamType):
    """A moment in RFC 3339 as Unix milliseconds, or `now`."""

    name = "rfc3339"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, int) or value == NOW:
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(f"{value!r} is not RFC 3339 with a zone, such as 2026-01-01T00:00:00Z, and not `now`", param, ctx)
        return round(moment.timestamp() * 1000)


class OutputFile(click.Path):
    """A file that can be written when the work is done: its folder is there and may be written to."""

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=allow_dash, path_type=str)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = os.fsdecode(super().convert(value, param, ctx))
        if (path == "-" and self.allow_dash) or Path(path).exists():
            return path
        folder = Path(path).absolute().parent
        if not folder.is_dir():
            self.fail(f"{path!r} cannot be written: there is no folder {str(folder)!r}", param, ctx)
        if not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"{path!r} cannot be written: the folder {str(folder)!r} may not be written to", param, ctx)
        return path


DURATION: Final = Duration()
START: Final = Start()
