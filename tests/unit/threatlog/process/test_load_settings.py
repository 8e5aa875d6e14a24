"""Settings: where a value comes from, what overrules what, and what a wrong one is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from threatlog.process.load_settings import SettingsError, load_settings, section_model, variables
from threatlog.process.settings import Settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An empty config.yaml."""
    path = tmp_path / "config.yaml"
    path.touch()
    return path


def loaded(config: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from this file and these variables."""
    config.write_text(text, encoding="utf-8")
    return load_settings(environ or {}, config)


def fault(config: Path, text: str = "", environ: Mapping[str, str] | None = None) -> str:
    """What these settings are told."""
    with pytest.raises(SettingsError) as caught:
        loaded(config, text, environ)
    return str(caught.value)


def test_without_file_and_variables_every_setting_has_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({}) == Settings()


def test_a_value_in_the_file_overrules_the_default(config: Path) -> None:
    assert loaded(config, "server: {port: 9000}").server.port == 9000


def test_a_variable_overrules_the_file(config: Path) -> None:
    settings = loaded(config, "server: {port: 9000}", {"THREATLOG_SERVER_PORT": "9001"})
    assert settings.server.port == 9001


def test_a_variable_names_the_file(config: Path) -> None:
    config.write_text("server: {port: 9000}", encoding="utf-8")
    assert load_settings({"THREATLOG_CONFIG": str(config)}).server.port == 9000


@pytest.mark.parametrize("text", ["", "# nothing\n", "server:\n"])
def test_an_empty_file_or_section_means_the_defaults(config: Path, text: str) -> None:
    assert loaded(config, text) == Settings()


def test_every_setting_can_be_set_by_a_variable(config: Path) -> None:
    defaults = Settings()
    for variable, (section, name) in variables().items():
        default = getattr(getattr(defaults, section), name)
        written = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
        settings = loaded(config, environ={variable: written})
        assert getattr(getattr(settings, section), name) == default, variable


@pytest.mark.parametrize("secret", ["postgres", "redis"])
def test_a_secret_may_stand_in_a_file_without_its_last_line_end(config: Path, tmp_path: Path, secret: str) -> None:
    (tmp_path / "secret").write_text("s3 cret\n", encoding="utf-8")
    settings = loaded(config, environ={f"THREATLOG_{secret.upper()}_PASSWORD_FILE": str(tmp_path / "secret")})
    password: SecretStr = getattr(settings, secret).password
    assert password.get_secret_value() == "s3 cret"


def test_a_secret_given_twice_is_refused(config: Path, tmp_path: Path) -> None:
    environ = {"THREATLOG_POSTGRES_PASSWORD": "a", "THREATLOG_POSTGRES_PASSWORD_FILE": str(tmp_path)}
    assert "are both set" in fault(config, environ=environ)


def test_a_secret_file_that_cannot_be_read_is_named(config: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert missing in fault(config, environ={"THREATLOG_POSTGRES_PASSWORD_FILE": missing})


def test_a_secret_shows_in_no_text_of_the_settings(config: Path) -> None:
    settings = loaded(config, environ={"THREATLOG_POSTGRES_PASSWORD": "open-sesame"})
    assert "open-sesame" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_secret_of_the_wrong_type_is_not_repeated_in_the_fault(config: Path) -> None:
    told = fault(config, "postgres: {password: [open-sesame]}")
    assert "postgres.password" in told
    assert "open-sesame" not in told


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("THREATLOG_SERVER_PORT", "0", "1 to 65535"),
        ("THREATLOG_SERVER_PORT", "70000", "1 to 65535"),
        ("THREATLOG_SERVER_PORT", "http", "1 to 65535"),
        ("THREATLOG_SERVER_READ_TIMEOUT", "soon", "a duration such as 200ms, 5s, 2m, 1h"),
        ("THREATLOG_SERVER_READ_TIMEOUT", "-1", "a duration such as"),
        ("THREATLOG_LIMITS_MAX_BODY_BYTES", "10MB", "a size such as 512KiB"),
        ("THREATLOG_KAFKA_TOPIC", "with space", "matching `[a-zA-Z0-9._-]{1,249}`"),
        ("THREATLOG_KAFKA_TOPIC", "..", "neither . nor .."),
        ("THREATLOG_INGESTION_BATCH_TIMEOUT", "1ms", "5ms to 1m"),
        ("THREATLOG_LIMITS_MAX_BODY_BYTES", "2GiB", "1KiB to 1GiB"),
        ("THREATLOG_SERVER_HOST", "", "not empty"),
        ("THREATLOG_KAFKA_RETENTION", "inf", "a duration such as"),
        ("THREATLOG_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
        ("THREATLOG_CACHE_QUERY_CACHE_ENABLED", "maybe", "true or false"),
        ("THREATLOG_KAFKA_BOOTSTRAP_SERVERS", "", "not empty"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_itself_and_what_is_allowed(
    config: Path, variable: str, value: str, allowed: str
) -> None:
    section, name = variables()[variable]
    told = fault(config, environ={variable: value})
    assert f"{section}.{name} (or {variable}) is {value!r}" in told
    assert allowed in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kafka: {retention: .inf}", "kafka.retention (or THREATLOG_KAFKA_RETENTION) is inf; allowed: 1m to 87600h"),
        ("kafka: {retention: .nan}", "is nan; allowed: 1m to 87600h"),
        ("server: {port: true}", "is True; allowed: a number (1 to 65535)"),
        ("ingestion: {batch_size: true}", "is True; allowed: a number (1 to 100000)"),
        ("cache: {ttl: false}", "is False; allowed: a number (0s to 24h)"),
        ("limits: {max_body_bytes: true}", "is True; allowed: a number (1KiB to 1GiB)"),
        ("server: {1: 2}", "server.1: no such setting; known are host, port"),
        ("server: 5", "server is 5; allowed: its settings by name"),
    ],
)
def test_what_yaml_means_otherwise_is_told_as_it_was_understood(config: Path, text: str, told: str) -> None:
    assert told in fault(config, text)


def test_all_wrong_values_are_told_at_once(config: Path) -> None:
    told = fault(config, "server: {port: 0}", {"THREATLOG_LOG_LEVEL": "LOUD", "THREATLOG_SERVER_PROT": "1"})
    assert len(told.splitlines()) == 3


@pytest.mark.parametrize(("days", "is_allowed"), [(0, True), (7, False), (30, False), (31, True)])
def test_a_retention_leaves_the_days_that_late_events_make(config: Path, days: int, is_allowed: bool) -> None:
    text = f"storage: {{retention_days: {days}}}"
    if is_allowed:
        config.write_text(text)
        assert load_settings({}, config).storage.retention_days == days
    else:
        assert f"storage.retention_days is {days}; allowed is 0, or more than" in fault(config, text)


def test_an_unknown_section_is_told_with_the_known_ones(config: Path) -> None:
    told = fault(config, "servers: {port: 1}")
    assert "servers: no such setting" in told
    assert "ingestion" in told


def test_an_unknown_name_is_told_with_the_known_ones(config: Path) -> None:
    told = fault(config, "server: {prot: 1}")
    assert "server.prot: no such setting" in told
    assert "read_timeout" in told


def test_a_misspelt_variable_of_our_sections_is_told(config: Path) -> None:
    assert "THREATLOG_SERVER_PROT: no such setting" in fault(config, environ={"THREATLOG_SERVER_PROT": "1"})


def test_a_file_variable_of_what_is_no_secret_is_told(config: Path) -> None:
    assert "no such setting" in fault(config, environ={"THREATLOG_SERVER_PORT_FILE": "x"})


def test_variables_of_others_are_left_alone(config: Path) -> None:
    assert loaded(config, environ={"THREATLOGGER_SERVER_PORT": "1", "PATH": "x"}) == Settings()


def test_a_named_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: no such file"):
        load_settings({}, tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["a: [", "- server", "server", "\x00"])
def test_a_file_that_holds_no_sections_is_told_with_its_name(config: Path, text: str) -> None:
    assert str(config) in fault(config, text)


@pytest.mark.parametrize("text", ["server: 5", "server: [1]", "1: {port: 5}"])
def test_a_section_that_is_none_is_told(config: Path, text: str) -> None:
    assert fault(config, text)


def test_settings_cannot_be_changed(config: Path) -> None:
    settings = loaded(config)
    with pytest.raises(ValidationError):
        settings.server.port = 1  # type: ignore[misc] # That it must not be written to is the point.


@given(milliseconds=st.integers(5, 60_000))
def test_a_duration_means_the_same_in_every_unit(milliseconds: int) -> None:
    written = (f"{milliseconds}ms", f"{milliseconds / 1000}s", f"{milliseconds / 1000}", f" {milliseconds} ms ")
    for value in written:
        settings = load_settings({"THREATLOG_INGESTION_BATCH_TIMEOUT": value, "THREATLOG_CONFIG": "/dev/null"})
        assert settings.ingestion.batch_timeout == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("written", "size_bytes"), [("2048", 2048), ("2KiB", 2048), ("1mib", 1 << 20), ("1 GiB", 1 << 30)]
)
def test_a_size_means_bytes(config: Path, written: str, size_bytes: int) -> None:
    assert loaded(config, environ={"THREATLOG_LIMITS_MAX_BODY_BYTES": written}).limits.max_body_bytes == size_bytes


@pytest.mark.parametrize(("written", "value"), [("true", True), ("false", False), ("0", False), ("on", True)])
def test_a_switch_reads_as_it_is_written(config: Path, written: str, value: bool) -> None:
    settings = loaded(config, environ={"THREATLOG_CACHE_QUERY_CACHE_ENABLED": written})
    assert settings.cache.query_cache_enabled is value


def test_every_setting_says_what_it_means() -> None:
    for section, name in variables().values():
        assert section_model(section).model_fields[name].description, f"{section}.{name}"
