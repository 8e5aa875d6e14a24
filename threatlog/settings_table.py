"""Writes the settings down: as the README's table, as config.yaml with comments, and as they are in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from threatlog.process.load_settings import section_model, variables
from threatlog.process.setting_words import allowed, written
from threatlog.process.settings import Settings

_CONFIG_HEAD: Final = """\
# Every setting of every process at its default. A variable THREATLOG_<SECTION>_<NAME> overrules a value here.
# Durations are written 200ms, 5s, 2m or 1h; sizes 512KiB, 10MiB or 1GiB. `threatlog settings` shows what is in force.
"""


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
            written(field, field.default),
            allowed(field),
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
        shown = _secret(value) if isinstance(value, SecretStr) else written(field, value)
        lines.append(f"{setting.section}.{setting.name} = {shown}")
    return "\n".join(lines) + "\n"


def _secret(value: SecretStr) -> str:
    return "set" if value.get_secret_value() else "not set"


def _sentence(setting: Setting) -> str:
    return f"{setting.meaning} ({setting.allowed})" if setting.allowed else setting.meaning


def _yaml(text: str) -> str:
    plain = text and text[0].isalnum() and not any(sign in text for sign in ":#")
    return text if plain else json.dumps(text)
