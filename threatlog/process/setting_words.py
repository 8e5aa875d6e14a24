"""A setting as a person reads and writes it: its value with a unit, and what is allowed."""

from __future__ import annotations

from typing import Any, Final, get_args

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from threatlog.process.setting_types import Bytes, Seconds

# The units that are read; a week is 168h.
_DURATIONS: Final = ((3600.0, "h"), (60.0, "m"), (1.0, "s"), (0.001, "ms"))
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
# A setting of these types carries this mark, which tells it from a plain number.
_SECONDS_MARK: Final = get_args(Seconds)[1]
_BYTES_MARK: Final = get_args(Bytes)[1]


def written(field: FieldInfo, value: Any) -> str:
    """A value as it would stand in config.yaml."""
    if isinstance(value, SecretStr):
        return ""
    if _SECONDS_MARK in field.metadata:
        return _duration(value)
    if _BYTES_MARK in field.metadata:
        return _size(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _duration(seconds: float) -> str:
    for unit_s, unit in _DURATIONS:
        if seconds >= unit_s and abs(seconds / unit_s - round(seconds / unit_s)) < 1e-9:
            return f"{round(seconds / unit_s)}{unit}"
    return f"{seconds:g}s"


def _size(size_bytes: int) -> str:
    for unit_bytes, unit in _SIZES:
        if size_bytes >= unit_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes}{unit}"
    return str(size_bytes)


def allowed(field: FieldInfo) -> str:
    """What a setting may be; empty for any text."""
    if field.annotation is bool:
        return "true or false"
    bounds = {"least": "", "above": "", "most": ""}
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge):
            bounds["least"] = written(field, rule.ge)
        elif isinstance(rule, annotated_types.Gt):
            bounds["above"] = written(field, rule.gt)
        elif isinstance(rule, annotated_types.Le):
            bounds["most"] = written(field, rule.le)
        elif isinstance(rule, annotated_types.MinLen):
            return "not empty"
        elif getattr(rule, "pattern", None):
            return _of_pattern(rule.pattern)
    if bounds["least"] and bounds["most"]:
        return f"{bounds['least']} to {bounds['most']}"
    words = {"least": "at least", "above": "above", "most": "at most"}
    return ", ".join(f"{words[kind]} {bound}" for kind, bound in bounds.items() if bound)


def _of_pattern(pattern: str) -> str:
    inner = pattern.removeprefix("^").removesuffix("$")
    if inner.startswith("(") and inner.endswith(")"):
        return ", ".join(inner[1:-1].split("|"))
    return f"matching `{inner}`"
