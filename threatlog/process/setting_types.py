"""The kinds of values that settings have, and what every section of them is."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)\s*(KiB|MiB|GiB|B)?", re.IGNORECASE)
_UNIT_BYTES = {None: 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def _number(value: Any) -> Any:
    """pydantic takes true for 1."""
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def duration_s(value: Any) -> Any:
    """The seconds of a duration such as 200ms or 5m; a number stays as it is. Raises ValueError."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError("a duration such as 200ms, 5s, 2m, 1h or a number of seconds")
        return float(match[1]) * _UNIT_S[match[2]]
    return _number(value)


def _size_bytes(value: Any) -> Any:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError("a size such as 512KiB, 10MiB or a number of bytes")
        return int(match[1]) * _UNIT_BYTES[match[2].lower() if match[2] else None]
    return _number(value)


def _topic(value: str) -> str:
    if value in (".", ".."):
        raise ValueError("a name that Kafka takes, so neither . nor ..")
    return value


Seconds = Annotated[float, BeforeValidator(duration_s), Field(allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(_size_bytes)]
Count = Annotated[int, BeforeValidator(_number)]
Port = Annotated[Count, Field(ge=1, le=65535)]
Topic = Annotated[str, AfterValidator(_topic)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
