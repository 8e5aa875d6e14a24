"""Holds the documents to the code: tables, commands, links, metrics, and config.yaml."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from ingest_gateway.contract import REJECTION_CODES, SEVERITIES, SEVERITY_ALIASES
from loadgen.__main__ import main as loadgen_command
from stream_app.fail_points import VARIABLE as FAIL_POINT
from tests.metric_names import metric_names
from tests.readme_examples import examples
from tests.source_tree import ROOT, tracked_files
from threatlog.__main__ import main as threatlog_command
from threatlog.process.load_settings import load_settings, variables
from threatlog.process.postgres_roles import ROLES
from threatlog.process.settings import Settings
from threatlog.search_command import KEY_VARIABLE, URL_VARIABLE
from threatlog.settings_table import config_yaml, markdown

# Of no section of the settings.
OTHER_VARIABLES = {"THREATLOG_CONFIG", FAIL_POINT, KEY_VARIABLE, URL_VARIABLE}
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = tuple(name for name in tracked_files() if name.endswith(".md"))
documents = pytest.mark.parametrize("name", DOCUMENTS)
RULES = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
SCRAPES = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


def read(name: str) -> str:
    """A document's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def table_after(mark: str, text: str = README) -> list[list[str]]:
    """The cells of the table that follows a comment, without its head."""
    _, found, rest = text.partition(f"<!-- {mark}")
    assert found, mark
    lines = rest.split("\n")[1:]
    end = next(index for index, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:end]]


def test_the_settings_table_is_the_one_of_the_code() -> None:
    assert f"`threatlog settings --markdown` -->\n{markdown()}" in README


def test_the_config_file_is_the_one_of_the_code_and_means_the_defaults() -> None:
    assert read("config.yaml") == config_yaml()
    assert load_settings({}, ROOT / "config.yaml") == Settings()


def test_the_severity_table_is_the_one_of_the_code() -> None:
    written = {
        spelling: stored.strip("`")
        for spellings, stored in table_after("severity aliases")
        for spelling in re.findall(r"`(\w+)`", spellings)
    }
    assert written == dict(SEVERITY_ALIASES)
    assert set(written.values()) == set(SEVERITIES)


@pytest.mark.parametrize("name", ["README.md", "docs/kafka-contract.md"])
def test_a_table_of_rejection_codes_has_them_all(name: str) -> None:
    assert [code.strip("`") for code, _ in table_after("rejection codes", read(name))] == list(REJECTION_CODES)


def test_every_figure_stands_in_the_page_that_is_measured() -> None:
    measured = read("docs/benchmarks.md").splitlines()
    _, _, rest = README.partition("<!-- figures")
    shown = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert not [line for line in shown if line not in measured]


def test_the_keys_of_the_page_are_those_of_its_own_help() -> None:
    source = read("query_api/page/files/keyboard.js")
    helped = re.findall(r'\["([^"]+)", "([^"]+)"\]', source.partition("const KEYS")[2].partition("];")[0])
    shown = {keys.replace("`", ""): what for keys, what in table_after("keys of the page")}
    assert shown.items() <= dict(helped).items()
    assert len(helped) - len(shown) == 2


def test_every_example_has_its_status_and_answer() -> None:
    assert len(examples()) >= 10


@documents
def test_every_link_inside_the_repository_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(name)):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


@documents
def test_every_command_that_is_named_exists(name: str) -> None:
    commands = set(threatlog_command.list_commands(click.Context(threatlog_command)))
    for command in re.findall(r"`threatlog ([a-z-]+)", read(name)):
        assert command in commands, f"{name}: threatlog {command}"
    for command in re.findall(r"(?:-m |`)loadgen ([a-z]+)", read(name)):
        assert command in set(loadgen_command.commands), f"{name}: loadgen {command}"


@documents
def test_every_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for target in re.findall(r"(?:`|^)make ([a-z]+)", read(name), re.MULTILINE):
        assert target in targets, f"{name}: make {target}"


@documents
def test_every_setting_that_is_named_exists(name: str) -> None:
    known = {f"{section}.{setting}" for section, setting in variables().values()}
    sections = {section for section, _ in variables().values()}
    for section, setting in re.findall(r"`([a-z]+)\.([a-z_]+)`", read(name)):
        if section in sections and setting not in {"events", "py"}:
            assert f"{section}.{setting}" in known, f"{name}: {section}.{setting}"
    for variable in re.findall(r"THREATLOG_[A-Z_]+[A-Z]\b", read(name)):
        known_variable = variable.removesuffix("_FILE") in variables() or variable in OTHER_VARIABLES
        assert known_variable, f"{name}: {variable}"


@documents
def test_every_metric_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"\bthreatlog_[a-z_]+[a-z]\b", read(name)))
    assert not named - metric_names() - set(ROLES), name


def test_every_metric_is_explained() -> None:
    explained = set(re.findall(r"`(threatlog_[a-z_]+)", read("docs/operations.md")))
    assert not metric_names(samples=False) - explained


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_metrics_that_exist_and_is_explained(rule: dict[str, str]) -> None:
    asked = set(re.findall(r"threatlog_\w+", rule["expr"]))
    assert asked <= metric_names()
    assert f"### {rule['alert']}\n" in read("docs/operations.md")


def test_prometheus_asks_every_service_at_its_port() -> None:
    targets = {scrape["job_name"]: scrape["static_configs"][0]["targets"] for scrape in SCRAPES}
    assert targets == {
        name: [f"{name}:{COMPOSE[name]['ports'][0].rpartition(':')[2]}"] for name in ("gateway", "query", "stream")
    }


def test_every_decision_has_a_number_of_its_own_and_stands_in_the_list() -> None:
    pages = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(Path(page).stem.split("-")[0]) for page in pages] == list(range(1, len(pages) + 1))
    listed = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", read("docs/decisions/README.md"))
    assert listed == pages
