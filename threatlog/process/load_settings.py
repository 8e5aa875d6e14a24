"""Reads settings from config.yaml, THREATLOG_ variables and secret files, and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from threatlog.process.server_access import access_faults
from threatlog.process.setting_words import allowed
from threatlog.process.settings import Settings, Storage

PREFIX = "THREATLOG_"
CONFIG_VARIABLE = "THREATLOG_CONFIG"
DEFAULT_CONFIG = "config.yaml"


class SettingsError(Exception):
    """The settings cannot be used; the text has one line for each fault: name, value, what is allowed."""


def load_settings(environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """The settings of this process: defaults, under config.yaml, under THREATLOG_<SECTION>_<NAME> variables.

    A secret may stand in a file named by THREATLOG_<SECTION>_<NAME>_FILE. Raises SettingsError.
    """
    named = config or (Path(environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in environ else None)
    values = _from_file(named or Path(DEFAULT_CONFIG), required=named is not None)
    for variable, (section, name) in variables().items():
        value = _from_variable(environ, variable, secret=_is_secret(section, name))
        if value is not None:
            section_values = values.setdefault(section, {})
            if isinstance(section_values, dict):
                section_values[name] = value
    unknown = _unknown_variables(environ)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join([*unknown, *(_fault(fault, values) for fault in error.errors())])) from None
    if faults := [*unknown, *access_faults(settings), *_storage_faults(settings.storage)]:
        raise SettingsError("\n".join(faults))
    return settings


def _storage_faults(storage: Storage) -> Iterator[str]:
    if 0 < storage.retention_days <= storage.partition_days_back:
        yield (
            f"storage.retention_days is {storage.retention_days}; allowed is 0, or more than "
            f"storage.partition_days_back ({storage.partition_days_back}): late events must not make a dropped day"
        )


def variables() -> dict[str, tuple[str, str]]:
    """Every environment variable, and the section and name that it sets."""
    return {
        f"{PREFIX}{section}_{name}".upper(): (section, name)
        for section in Settings.model_fields
        for name in section_model(section).model_fields
    }


def section_model(section: str) -> type[BaseModel]:
    """The model of one section by its name."""
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def _is_secret(section: str, name: str) -> bool:
    return section_model(section).model_fields[name].annotation is SecretStr


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"{path}: no such file") from None
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: must hold sections, one of {', '.join(Settings.model_fields)}")
    # An empty section in YAML is null; it means its defaults.
    return {section: {} if values is None else values for section, values in content.items()}


def _from_variable(environ: Mapping[str, str], variable: str, *, secret: bool) -> str | None:
    file_variable = f"{variable}_FILE"
    if not secret or file_variable not in environ:
        return environ.get(variable)
    if variable in environ:
        raise SettingsError(f"{variable} and {file_variable} are both set; set one of them")
    try:
        return Path(environ[file_variable]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file_variable}: {environ[file_variable]} cannot be read: {error}") from None


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Misspelt variables of our own sections would be ignored silently otherwise."""
    known = variables()
    sections = tuple(f"{PREFIX}{section}_".upper() for section in Settings.model_fields)
    return [
        f"{name}: no such setting"
        for name in sorted(environ)
        if name.startswith(sections)
        and name not in known
        and not (name.removesuffix("_FILE") in known and _is_secret(*known[name.removesuffix("_FILE")]))
        and name != CONFIG_VARIABLE
    ]


def _fault(error: Any, values: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in error["loc"])
    section, *names = error["loc"]
    if section not in Settings.model_fields:
        return f"{location}: no such setting; known are {', '.join(Settings.model_fields)}"
    if not names:
        return f"{location} is {error['input']!r}; allowed: its settings by name"
    fields = section_model(section).model_fields
    if names[0] not in fields:
        return f"{location}: no such setting; known are {', '.join(fields)}"
    # What was written, where pydantic has the number that it means.
    shown = "a secret" if _is_secret(section, names[0]) else repr(values[section][names[0]])
    said = error["msg"].removeprefix("Value error, ")
    rule = allowed(fields[names[0]])
    if error["type"] == "value_error":
        rule = f"{said} ({rule})" if rule else said
    variable = f"{PREFIX}{section}_{names[0]}".upper()
    return f"{location} (or {variable}) is {shown}; allowed: {rule or said}"
