"""The command line's way with settings: shown, written down, and refused when wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from threatlog.__main__ import main
from threatlog.process.exit_codes import EXIT_CONFIGURATION
from threatlog.settings_table import config_yaml, markdown


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that sets one thing."""
    path = tmp_path / "own.yaml"
    path.write_text("server: {port: 9000}\n", encoding="utf-8")
    return path


def run(*arguments: str, **environ: str) -> Result:
    """`threatlog` with these arguments and variables."""
    return CliRunner(env=environ).invoke(main, arguments)


def test_the_settings_in_force_are_shown(config: Path) -> None:
    ran = run("--config", str(config), "settings", THREATLOG_QUERY_PORT="9001")
    assert ran.exit_code == 0
    assert {"server.port = 9000", "query.port = 9001"} <= set(ran.stdout.splitlines())


@pytest.mark.parametrize(("option", "text"), [("--markdown", markdown()), ("--yaml", config_yaml())])
def test_the_settings_are_written_down_whatever_is_in_force(option: str, text: str) -> None:
    assert run("settings", option, THREATLOG_SERVER_PORT="none").stdout == text


@pytest.mark.parametrize("command", ["gateway", "stream", "query", "migrate", "topics", "settings", "lag"])
def test_a_wrong_setting_stops_every_command_with_its_fault_and_code_78(command: str) -> None:
    ran = run(command, THREATLOG_SERVER_PORT="0", THREATLOG_LOG_LEVEL="LOUD", THREATLOG_CONFIG="/dev/null")
    assert ran.exit_code == EXIT_CONFIGURATION
    assert ran.stdout == ""
    first, second = ran.stderr.splitlines()
    assert first.startswith("threatlog: server.port (or THREATLOG_SERVER_PORT) is '0'; allowed: ")
    assert second.startswith("threatlog: log.level (or THREATLOG_LOG_LEVEL) is 'LOUD'; allowed: ")


def test_a_named_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    ran = run("--config", str(tmp_path / "absent.yaml"), "settings")
    assert ran.exit_code == EXIT_CONFIGURATION
    assert "absent.yaml: no such file" in ran.stderr
