"""Writes the settings down: as the README's table, as config.yaml with comments, and as they are in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from threatlog.process.load_settings import section_model, variables
from threatlog.process.settings import Bytes, Seconds, Settings

# The units that are read; a week is 168h.
_DURATIONS: Final = ((3600.0, "h"), (60.0, "m"), (1.0, "s"), (0.001, "ms"))
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_CONFIG_HEAD: Final = """\
# Every setting of every process at its default. A variable THREATLOG_<SECTION>_<NAME> overrules a value here.
# Durations are written 200ms, 5s, 2m or 1h; sizes 512KiB, 10MiB or 1GiB. `threatlog settings` shows what is in force.
"""
# A setting of these types carries this mark, which tells it from a plain number.
_SECONDS_MARK: Final = get_args(Seconds)[1]
_BYTES_MARK: Final = get_args(Bytes)[1]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as a person reads and writes it."""

    section: str
    name: str
    variable: str
    default: str
    allowed: str
    meaning: str
    secret: bool


def all_settings() -> Iterator[Setting]:
    """Every setting in the order of the code."""
    for variable, (section, name) in variables().items():
        field = section_model(section).model_fields[name]
        yield Setting(
            section,
            name,
            variable,
            _written(field, field.default),
            _allowed(field),
            str(field.description),
            field.annotation is SecretStr,
        )


def markdown() -> str:
    """The table of the README."""
    lines = ["| setting | variable | default | meaning | allowed |", "| --- | --- | --- | --- | --- |"]
    for setting in all_settings():
        default = f"`{setting.default}`" if setting.default else "empty"
        cells = (
            f"`{setting.section}.{setting.name}`",
            f"`{setting.variable}`",
            default,
            setting.meaning,
            setting.allowed,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def config_yaml() -> str:
    """A config.yaml that sets every setting to its default and says what it means."""
    lines: list[str] = []
    section = ""
    for setting in all_settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"# {section_model(section).__doc__}", f"{section}:"]
        lines.append(f"  # {_sentence(setting)}")
        secret = f"  # better in {setting.variable}, or in a file named by {setting.variable}_FILE"
        lines.append(f"  {setting.name}: {_yaml(setting.default)}{secret if setting.secret else ''}")
    return _CONFIG_HEAD + "\n".join(lines) + "\n"


def in_force(settings: Settings) -> str:
    """The values of one process, a line each; a secret only as set or not set."""
    lines = []
    for setting in all_settings():
        field = section_model(setting.section).model_fields[setting.name]
        value = getattr(getattr(settings, setting.section), setting.name)
        shown = _secret(value) if isinstance(value, SecretStr) else _written(field, value)
        lines.append(f"{setting.section}.{setting.name} = {shown}")
    return "\n".join(lines) + "\n"


def _secret(value: SecretStr) -> str:
    return "set" if value.get_secret_value() else "not set"


def _sentence(setting: Setting) -> str:
    return f"{setting.meaning} ({setting.allowed})" if setting.allowed else setting.meaning


def _yaml(text: str) -> str:
    plain = text and text[0].isalnum() and not any(sign in text for sign in ":#")
    return text if plain else json.dumps(text)


def _written(field: FieldInfo, value: Any) -> str:
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


def _allowed(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "true or false"
    bounds = {"least": "", "above": "", "most": ""}
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge):
            bounds["least"] = _written(field, rule.ge)
        elif isinstance(rule, annotated_types.Gt):
            bounds["above"] = _written(field, rule.gt)
        elif isinstance(rule, annotated_types.Le):
            bounds["most"] = _written(field, rule.le)
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
