"""Holds the source to its architecture: who may import whom, how large things may grow, and what no file may hold."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from tests.source_tree import PACKAGES, ROOT, SERVICES, all_modules, functions_of, source_modules, tracked_files

# The command line runs the services; `lag` asks with the query API's own means, `dead-letters` with storing's.
COMMAND_FILES = ("threatlog/__main__.py", "threatlog/lag.py", "threatlog/dead_letters_command.py")

# What every process shares: how it runs, and who may use it.
SHARED = ("threatlog.process.", "threatlog.access.")

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_CONSTRUCTOR_PARAMETERS = 6

# The only file of a package that may import each client of a server; that file maps the client's errors to ours.
CLIENT_FILES = {
    ("ingest_gateway", "aiokafka"): "ingest_gateway/kafka_publisher.py",
    ("ingest_gateway", "asyncpg"): "ingest_gateway/postgres_figures.py",
    ("stream_app", "faust"): "stream_app/faust_app.py",
    ("stream_app", "aiokafka"): "stream_app/aiokafka_group.py",  # Faust's own driver brings the rest
    ("stream_app", "asyncpg"): "stream_app/postgres_store.py",
    ("stream_app", "redis"): "stream_app/redis_mirror.py",
    ("stream_app", "psycopg"): "stream_app/migrate.py",
    ("stream_app", "yoyo"): "stream_app/migrate.py",
    ("query_api", "aiokafka"): "query_api/kafka_consumer.py",
    ("query_api", "asyncpg"): "query_api/postgres_sessions.py",
    ("query_api", "redis"): "query_api/redis_reader.py",
    ("loadgen", "aiokafka"): "loadgen/kafka_sender.py",
    ("loadgen", "asyncpg"): "loadgen/postgres_rows.py",
    ("threatlog", "httpx"): "threatlog/search/query_api.py",
    ("threatlog", "aiokafka"): "threatlog/topics.py",
    ("threatlog", "asyncpg"): "threatlog/access/postgres_keys.py",
}
CLIENTS = frozenset({"aiokafka", "asyncpg", "faust", "httpx", "kafka", "mode", "psycopg", "redis", "yoyo"})

VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "managers"})


def none_of(faults: list[str]) -> None:
    """Fails with one fault a line."""
    assert not faults, "\n" + "\n".join(faults)


def test_a_service_imports_another_service_only_through_its_contract() -> None:
    none_of(
        [
            f"{module.path} imports {name}"
            for module in source_modules()
            if module.package in SERVICES
            for name in module.imports
            if name.split(".")[0] in set(SERVICES) - {module.package} and name != f"{name.split('.')[0]}.contract"
        ]
    )


def test_a_service_imports_of_threatlog_only_what_every_process_shares() -> None:
    none_of(
        [
            f"{module.path} imports {name}"
            for module in source_modules()
            if module.package in SERVICES
            for name in module.imports
            if name.split(".")[0] == "threatlog" and not f"{name}.".startswith(SHARED)
        ]
    )


def test_what_every_process_shares_knows_none_of_the_processes() -> None:
    none_of(
        [
            f"{module.path} imports {name}"
            for module in source_modules()
            if f"{module.name}.".startswith(SHARED)
            for name in module.imports
            if name.split(".")[0] in PACKAGES and not f"{name}.".startswith(SHARED)
        ]
    )


def test_only_the_command_line_knows_the_insides_of_the_services() -> None:
    none_of(
        [
            f"{module.path} imports {name}"
            for module in source_modules()
            if module.package == "threatlog" and module.path not in COMMAND_FILES
            for name in module.imports
            if name.split(".")[0] in (*SERVICES, "loadgen") and not name.endswith(".contract")
        ]
    )


def test_a_contract_imports_only_the_standard_library_and_the_codecs() -> None:
    contracts = [
        module for module in source_modules() if module.name.endswith(".contract") or ".contract." in module.name
    ]
    assert len(contracts) >= 2
    allowed = sys.stdlib_module_names | {"msgspec", "orjson"}
    none_of(
        [
            f"{module.path} imports {name}"
            for module in contracts
            for name in module.imports
            if name.split(".")[0] not in allowed and not name.startswith(f"{module.package}.contract")
        ]
    )


def test_loadgen_imports_nothing_of_what_it_judges() -> None:
    none_of(
        [
            f"{module.path} imports {name}"
            for module in source_modules()
            if module.package == "loadgen"
            for name in module.imports
            if name.split(".")[0] in {*SERVICES, "threatlog"}
        ]
    )


def test_no_package_imports_the_tests_or_the_benchmarks() -> None:
    none_of(
        [
            f"{module.path} imports {name}"
            for module in source_modules()
            for name in module.imports
            if name.split(".")[0] in {"tests", "benchmarks"}
        ]
    )


def test_each_client_of_a_server_is_imported_in_one_file_of_a_package() -> None:
    none_of(
        [
            f"{module.path} imports {name}; only {CLIENT_FILES.get((module.package, name.split('.')[0]))} may"
            for module in source_modules()
            for name in module.imports
            if name.split(".")[0] in CLIENTS and CLIENT_FILES.get((module.package, name.split(".")[0])) != module.path
        ]
    )


def test_each_file_named_for_a_client_exists_and_imports_it() -> None:
    modules = {module.path: module for module in source_modules()}
    none_of(
        [
            f"{path} does not import {client}"
            for (_, client), path in CLIENT_FILES.items()
            if path not in modules or client not in {name.split(".")[0] for name in modules[path].imports}
        ]
    )


def test_no_module_is_longer_than_its_budget() -> None:
    lengths = {module.path: len(module.text.splitlines()) for module in all_modules()}
    none_of([f"{path} has {lines} lines" for path, lines in lengths.items() if lines > MAX_MODULE_LINES])


def test_no_function_is_longer_than_its_budget() -> None:
    none_of(
        [
            f"{module.path}:{function.lineno} {function.name} has {lines} lines"
            for module in all_modules()
            for function in functions_of(module)
            if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
        ]
    )


def test_no_constructor_takes_more_than_its_budget() -> None:
    faults = []
    for module in all_modules():
        for function in functions_of(module):
            arguments = function.args
            count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
            if function.name == "__init__" and count > MAX_CONSTRUCTOR_PARAMETERS:
                faults.append(f"{module.path}:{function.lineno} takes {count} parameters")
    none_of(faults)


def test_every_module_says_in_one_sentence_what_it_is() -> None:
    faults = []
    for module in all_modules():
        first = (ast.get_docstring(module.tree) or "").split("\n", 1)[0]
        if not first:
            faults.append(f"{module.path} has no docstring")
        elif not first.endswith("."):
            faults.append(f"{module.path}: the first line is no whole sentence: {first}")
    none_of(faults)


def test_no_file_has_a_name_that_says_nothing() -> None:
    none_of(
        [
            name
            for name in tracked_files()
            if VAGUE_NAMES & {word for part in Path(name).parts for word in re.split(r"[._-]", part.lower())}
        ]
    )


# A package index, a mirror of one, or a folder that exists on one machine only.
_INDEX = r"https?://[^\s\"'<>)]*(?:" + "|".join(["pypi", "pythonhosted", "artifactory", "nexus", "maven"]) + ")"
_INDEX_OPTION = r"(?:^|\s)--(?:extra-)?index-url"
_HOME = r"(?<![\w.~$}])/(?:root|home/\w+|Users/\w+|work)/\w"
FORBIDDEN_TEXT = re.compile("|".join([_INDEX, _INDEX_OPTION, _HOME]), re.MULTILINE)


def test_no_file_names_a_registry_or_a_folder_of_one_machine() -> None:
    faults = []
    for name in tracked_files():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        faults += [f"{name}: {match[0]!r}" for match in FORBIDDEN_TEXT.finditer(text)]
    none_of(faults)
