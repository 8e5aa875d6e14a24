"""The `loadgen` command line: reads options, runs one command, and turns its result into output and an exit code."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn, TypeVar

import click
import uvloop
from rich.console import Console

from loadgen.clock import SystemClock
from loadgen.command_types import DURATION, NOW, START, OutputFile
from loadgen.delivery import Patience
from loadgen.display import TerminalDisplay, result_tables
from loadgen.drive import Plan
from loadgen.http_sender import SHAPES
from loadgen.kafka_login import MECHANISMS, SECURITY_PROTOCOLS, KafkaLogin
from loadgen.oracle_command import OracleOptions, new_run_name, run_command
from loadgen.oracle_run import OraclePlan
from loadgen.outcome import Sender, TargetUnreachableError
from loadgen.plot import SUFFIXES, write_plot
from loadgen.result_document import result_document
from loadgen.retry import RetryPolicy
from loadgen.run import LoadRun, RunResult, make_sender
from loadgen.seed import SeedRequest, SeedTally, seed_lines, send_lines
from loadgen.settings import Checks, RunSettings, Target
from loadgen.verdict import EXIT_BROKEN, EXIT_UNVERIFIED

Result = TypeVar("Result")
Command = Callable[..., None]

_KEY_HELP: Final = "Where API keys are needed: one that may ingest and query. Better in LOADGEN_API_KEY."
_SECURITY_HELP: Final = "Of the kafka target: SSL is TLS, always with a checked certificate; SASL is a user."
_IN_VARIABLE_HELP: Final = "With SASL. Better in LOADGEN_KAFKA_PASSWORD."
_EXIT_UNWRITTEN: Final = 5
_EXIT_INTERRUPTED: Final = 130
_FIXED_START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Sample security events and load for ThreatLog, with a check that everything acknowledged can be found."""


def _target_options(command: Command) -> Command:
    options = (
        click.option("--gateway-url", default="http://127.0.0.1:8080", help="Where the gateway listens."),
        click.option("--kafka-bootstrap", default="127.0.0.1:9092", help="Kafka's address, for the kafka target."),
        click.option("--topic", default="threatlog.events", help="The topic, for the kafka target."),
        click.option(
            "--kafka-security", type=click.Choice(SECURITY_PROTOCOLS), default="PLAINTEXT", help=_SECURITY_HELP
        ),
        click.option("--kafka-mechanism", type=click.Choice(MECHANISMS), default="SCRAM-SHA-512", help="With SASL."),
        click.option("--kafka-username", default="", show_default=False, help="With SASL."),
        click.option(
            "--kafka-password", default="", envvar="LOADGEN_KAFKA_PASSWORD", show_default=False, help=_IN_VARIABLE_HELP
        ),
        click.option("--kafka-ca", default="", show_default=False, help="PEM file of trusted authorities."),
        click.option("--kafka-certificate", default="", show_default=False, help="PEM file to be known by."),
        click.option("--kafka-key", default="", show_default=False, help="PEM file of its key."),
        click.option("--timeout", type=DURATION, default="10s", help="Longest wait for one answer."),
        click.option("--api-key", default="", envvar="LOADGEN_API_KEY", show_default=False, help=_KEY_HELP),
        click.option("--shape", type=click.Choice(SHAPES), default="json", help="How HTTP bodies are written."),
        click.option("--gzip", "encoding", flag_value="gzip", help="Compress HTTP bodies with gzip."),
        click.option("--zstd", "encoding", flag_value="zstd", help="Compress HTTP bodies with zstd."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _target(kind: str, options: dict[str, Any]) -> Target:
    return Target(
        kind,
        options["gateway_url"],
        options["kafka_bootstrap"],
        options["topic"],
        options["shape"],
        options["encoding"] or "identity",
        options["timeout"],
        options["api_key"],
        KafkaLogin(
            options["kafka_security"],
            options["kafka_mechanism"],
            options["kafka_username"],
            options["kafka_password"],
            options["kafka_ca"],
            options["kafka_certificate"],
            options["kafka_key"],
        ),
    )


@main.command()
@click.option("--count", type=click.IntRange(1), required=True, help="How many events.")
@click.option("--seed", type=int, default=7, help="The same seed gives the same bytes.")
@click.option("--out", type=OutputFile(allow_dash=True), default="-", help="File for the lines.")
@click.option(
    "--start", type=START, help="RFC 3339, or `now`: then the span ends now. Default: 2026 UTC; with --send: now."
)
@click.option("--span", type=DURATION, default="1h", help="The time over which the events happen.")
@click.option("--ids/--no-ids", default=False, help="Give each event a UUIDv7 of its time; always with --send.")
@click.option("--send", type=click.Choice(["http", "kafka"]), help="Send the events instead of printing them.")
@click.option("--batch", type=click.IntRange(1, 5000), default=1000, help="Events in one request, with --send.")
@_target_options
def seed(**options: Any) -> None:
    """Make realistic security events, as NDJSON or straight into ThreatLog."""
    kind, span_ms = options["send"], round(options["span"] * 1000)
    start_ms = _start_ms(options["start"], span_ms, sending=kind is not None)
    lines = seed_lines(SeedRequest(options["count"], options["seed"], start_ms, span_ms, bool(options["ids"] or kind)))
    if kind is None:
        with click.open_file(options["out"], "wb") as out:
            out.writelines(line + b"\n" for line in lines)
        return
    tally = _run_async(_send(lines, _make_sender(_target(kind, options), options["batch"]), options))
    click.echo(f"{tally.acked:,} of {options['count']:,} events acknowledged", err=True)
    for code, count in tally.problems.most_common():
        click.echo(f"{count:,} not: {code}", err=True)
    sys.exit(EXIT_BROKEN if tally.problems else 0)


def _start_ms(start: int | str | None, span_ms: int, *, sending: bool) -> int:
    if isinstance(start, int):
        return start
    # What is sent should lie in the present, where people look; what is printed should be the same every day.
    return SystemClock().unix_us() // 1000 - span_ms if start == NOW or sending else _FIXED_START_MS


def _make_sender(target: Target, batch: int) -> Sender:
    try:
        return make_sender(target, batch, 1, in_turn=False)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


async def _send(lines: Iterator[bytes], sender: Sender, options: dict[str, Any]) -> SeedTally:
    try:
        await sender.open()
        patience = Patience(RetryPolicy(), Random(options["seed"]))
        return await send_lines(lines, sender, options["batch"], patience, SystemClock())
    finally:
        await sender.close()


@main.command()
@click.option("--rps", type=click.FloatRange(0), default=1000, help="EVENTS per second in all; 0: as fast as answered.")
@click.option("--duration", type=DURATION, default="60s", help="How long to send; 0: until stopped.")
@click.option("--concurrency", type=click.IntRange(1), default=100, help="Most requests outstanding at once.")
@click.option("--batch", type=click.IntRange(1, 5000), default=1, help="Events in one request.")
@click.option("--target", type=click.Choice(["http", "kafka"]), default="http", help="The gateway, or its topic.")
@click.option("--query-url", default="http://127.0.0.1:8081", help="Where the query API listens.")
@click.option("--seed", type=int, default=7, help="The same seed gives the same events but for ids and times.")
@click.option(
    "--sources",
    type=click.Choice(["own", "shared"]),
    default="own",
    help="Source names marked with the run's id, or those that every run shares.",
)
@click.option("--attributes/--no-attributes", default=True, help="Whether events carry attributes.")
@click.option("--verify/--no-verify", default=True, help="Look for everything acknowledged when all is sent.")
@click.option("--freshness/--no-freshness", default=True, help="Follow some events until they can be seen.")
@click.option("--probes", type=click.FloatRange(0.1, 100), default=5, help="Events per second that are followed.")
@click.option("--verify-timeout", type=DURATION, default="120s", help="Longest wait for the query API to catch up.")
@click.option("--exact-up-to", type=click.IntRange(0), default=200_000, help="Larger runs: counts, and part by id.")
@click.option("--json", "json_to", type=OutputFile(allow_dash=True), help="Write the result as JSON.")
@click.option("--plot", "plot_to", type=OutputFile(), help="Draw a .png or .html file.")
@_target_options
def run(**options: Any) -> None:
    """Send events on a fixed schedule and measure.

    Each request has its moment, and latency counts from that moment even when the target makes it late.

    Exit code: 0 when everything acknowledged was found once; 1 when not; 2 for wrong options; 3 when it could not be
    checked; 4 when nothing was acknowledged; 5 when all was well but the result could not be written; 130 when
    interrupted twice.
    """
    settings = _run_settings(options)
    console = Console(stderr=settings.json_to == "-")
    try:
        load = LoadRun(settings, TerminalDisplay(console, settings.plan))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    result = _run_async(load.execute())
    for table in result_tables(result, settings.plan):
        console.print(table)
    for line in result.verdict.lines():
        console.print(line, highlight=False, soft_wrap=True)
    try:
        _write_results(result, settings)
    except OSError as error:
        _end(f"loadgen: the result cannot be written: {error}", result.verdict.exit_code or _EXIT_UNWRITTEN)
    sys.exit(result.verdict.exit_code)


@main.command()
@click.option("--db", type=click.Path(path_type=Path), default=Path("ledger.sqlite"), help="The account; a new file.")
@click.option("--rps", type=click.FloatRange(0, min_open=True), default=1000, help="EVENTS per second in all.")
@click.option("--duration", type=DURATION, default="60s", help="How long to send.")
@click.option("--producers", type=click.IntRange(1, 1000), default=100, help="Senders, each with an order of its own.")
@click.option("--batch", type=click.IntRange(1, 2500), default=50, help="Events in one request on average.")
@click.option("--seed", type=int, default=7, help="The same seed draws the same sizes and kinds.")
@click.option("--retry/--no-retry", default=True, help="Send again what may or may not be stored.")
@click.option("--faults", default="", help="What is done to it meanwhile; copied into the result.")
@click.option("--query-url", default="http://127.0.0.1:8081", help="Where the query API listens.")
@click.option("--postgres", default="", envvar="LOADGEN_POSTGRES", help="URL of the database; absent: the API alone.")
@click.option("--min-acknowledged", type=click.IntRange(0), default=1, help="With fewer the run is void.")
@click.option("--verify-timeout", type=DURATION, default="180s", help="Longest wait until nothing is missing.")
@click.option("--check-only", is_flag=True, help="Send nothing; check the run of --db.")
@_target_options
def ledger(**options: Any) -> None:
    """Keep account of every event in a file, and check that what is stored agrees with it.

    Sends single events, batches with some bad items, and records straight to Kafka. Exit code: 0 when every check
    holds; 1 when one does not; 2 for wrong options; 3 when it could not be checked; 4 when too little was acknowledged.
    """
    names = ("db", "gateway_url", "query_url", "kafka_bootstrap", "topic", "postgres", "api_key", "faults")
    oracle = OracleOptions(
        **{name: options[name] for name in names},
        min_acknowledged=options["min_acknowledged"],
        verify_timeout_s=options["verify_timeout"],
        timeout_s=options["timeout"],
        kafka_login=_target("kafka", options).kafka_login,
    )
    plan = None
    if not options["check_only"]:
        sizes = options["producers"], options["batch"], options["retry"]
        plan = OraclePlan(new_run_name(), options["seed"], options["rps"], options["duration"], *sizes)
    try:
        sys.exit(run_command(oracle, plan))
    except TargetUnreachableError as error:
        _end(f"loadgen: {error}", EXIT_UNVERIFIED)
    except (ValueError, sqlite3.Error) as error:
        _end(f"loadgen: {error}", 2)


def _run_settings(options: dict[str, Any]) -> RunSettings:
    plot_to = None if options["plot_to"] is None else Path(options["plot_to"])
    if plot_to is not None and plot_to.suffix not in SUFFIXES:
        raise click.BadParameter(f"{plot_to.name!r} must end in {' or '.join(SUFFIXES)}", param_hint="--plot")
    if options["target"] == "kafka" and (options["encoding"] or options["shape"] != "json"):
        raise click.UsageError("--gzip, --zstd and --shape are for the http target; Kafka batches are always zstd")
    checks = Checks(
        options["query_url"],
        options["verify"],
        options["freshness"],
        options["probes"],
        options["exact_up_to"],
        options["verify_timeout"],
    )
    return RunSettings(
        Plan(options["rps"], options["batch"], options["duration"], options["concurrency"]),
        _target(options["target"], options),
        checks,
        options["seed"],
        options["sources"] == "own",
        options["attributes"],
        options["json_to"],
        plot_to,
    )


def _write_results(result: RunResult, settings: RunSettings) -> None:
    if settings.json_to is not None:
        with click.open_file(settings.json_to, "wb") as out:
            out.write(result_document(result, settings))
    if settings.plot_to is not None:
        title = (
            f"loadgen {result.identity.name}: {settings.plan.events_per_s:,g} events/s asked, {settings.target.kind}"
        )
        write_plot(settings.plot_to, title, result.report.timeline())


def _run_async(work: Coroutine[Any, Any, Result]) -> Result:
    # Every failure is counted and in the table; aiokafka would write each across the progress bar as well.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return uvloop.run(work)
    except TargetUnreachableError as error:
        _end(f"loadgen: {error}", EXIT_UNVERIFIED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _end("loadgen: interrupted", _EXIT_INTERRUPTED)


def _end(line: str, code: int) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
