"""What is written down of the settings is true, and shows no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from threatlog.process.load_settings import load_settings, variables
from threatlog.process.server_settings import Postgres
from threatlog.process.settings import Cache, Ingestion, Limits, Server, Settings
from threatlog.settings_table import all_settings, config_yaml, in_force, markdown


def test_the_written_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(), encoding="utf-8")
    assert load_settings({}, path) == Settings()


def test_every_default_as_written_means_the_default(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.touch()
    environ = {setting.variable: setting.default for setting in all_settings()}
    assert load_settings(environ, path) == Settings()


def test_every_setting_stands_in_the_table() -> None:
    table = markdown()
    assert all(f"`{section}.{name}` | `{variable}`" in table for variable, (section, name) in variables().items())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (Settings(server=Server(read_timeout=1.5)), "server.read_timeout = 1500ms"),
        (Settings(server=Server(read_timeout=120)), "server.read_timeout = 2m"),
        (Settings(ingestion=Ingestion(batch_timeout=0.0125)), "ingestion.batch_timeout = 0.0125s"),
        (Settings(cache=Cache(ttl=0)), "cache.ttl = 0s"),
        (Settings(limits=Limits(max_body_bytes=1025)), "limits.max_body_bytes = 1025"),
        (Settings(limits=Limits(max_body_bytes=3 << 20)), "limits.max_body_bytes = 3MiB"),
        (Settings(cache=Cache(query_cache_enabled=False)), "cache.query_cache_enabled = false"),
        (Settings(), "postgres.password = not set"),
    ],
)
def test_a_value_in_force_is_shown_in_the_unit_that_fits(settings: Settings, line: str) -> None:
    assert line in in_force(settings).splitlines()


def test_a_secret_in_force_is_not_shown() -> None:
    shown = in_force(Settings(postgres=Postgres(password=SecretStr("open-sesame"))))
    assert "postgres.password = set" in shown
    assert "open-sesame" not in shown
