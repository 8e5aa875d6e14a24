"""`threatlog dead-letters`: what could not be stored as events, looked at, sent again, or put aside."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import click
import orjson

from ingest_gateway.contract import EventLimits
from stream_app.aiokafka_group import RecordSender
from stream_app.dead_letter_store import DeadLetterStore, FoundLetter, Wanted
from stream_app.outcomes import LogUnavailableError, StoreUnavailableError
from stream_app.postgres_store import PostgresStore
from stream_app.redrive import Drive, Outcome, Policy
from threatlog.access.audit import AuditEntry, operator
from threatlog.access.postgres_keys import KeysUnavailableError, PostgresKeys
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_TRY_LATER
from threatlog.process.load_settings import SettingsError, load_settings
from threatlog.process.settings import Settings

_SHOWN_BYTES = 4000
_SHOWN_LEFT = 10
_MOST = 1_000_000
Result = TypeVar("Result")
Command = Callable[..., None]


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be stored as events: every record is kept with its bytes."""


def _which(command: Command) -> Command:
    """The options that choose letters."""
    for option in (
        click.option("--since", type=click.DateTime(), help="stored since then, UTC"),
        click.option("--partition", type=click.IntRange(0), help="of this partition"),
        click.option("--reason", help="for this reason, such as bad_severity"),
    ):
        command = option(command)
    return command


def _wanted(options: dict[str, Any], limit: int, *, settled: bool = False) -> Wanted:
    since = None if options["since"] is None else options["since"].replace(tzinfo=UTC)
    return Wanted(options["reason"], options["partition"], None, since, settled, limit)


@dead_letters.command("list")
@_which
@click.option("--all", "settled", is_flag=True, help="those that were sent again or put aside too")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object a line")
@click.pass_context
def list_letters(context: click.Context, /, settled: bool, limit: int, as_json: bool, **options: Any) -> None:
    """Show them in the order of their places; first how many there are for each reason."""
    wanted = _wanted(options, limit, settled=settled)

    async def work(letters: DeadLetterStore, _settings: Settings) -> tuple[list[Any], list[FoundLetter]]:
        return await letters.counts(), await letters.find(wanted)

    counts, found = _with_letters(context, work)
    if not as_json:
        for reason, still_open, n, last in counts:
            click.echo(f"{still_open:>8,} open of {n:,} {reason}, the last {_shown(last)}", err=True)
    for letter in found:
        click.echo(orjson.dumps(_row(letter)) if as_json else _line(letter))


@dead_letters.command()
@click.argument("place", metavar="PARTITION/OFFSET")
@click.pass_context
def show(context: click.Context, place: str) -> None:
    """Show one with its headers and bytes."""
    try:
        partition, offset = (int(part) for part in place.split("/"))
    except ValueError:
        raise click.BadParameter(f"{place!r} is not PARTITION/OFFSET, such as 3/1042", param_hint="PLACE") from None

    async def work(letters: DeadLetterStore, _settings: Settings) -> list[FoundLetter]:
        return await letters.find(Wanted(partition=partition, offset=offset, settled=True))

    found = _with_letters(context, work)
    if not found:
        _end(f"there is no dead letter at {place}", 1)
    letter = found[0].letter
    click.echo(orjson.dumps(_row(found[0]), option=orjson.OPT_INDENT_2))
    payload = letter.payload or b""
    click.echo(payload[:_SHOWN_BYTES])
    if len(payload) > _SHOWN_BYTES:
        click.echo(
            f"... the first {_SHOWN_BYTES:,} of {len(payload):,} bytes; the table dead_letters has all", err=True
        )


@dead_letters.command()
@_which
@click.option("--policy", type=click.Choice([one.value for one in Policy]), default="stop-on-error", show_default=True)
@click.option("--max", "most", type=click.IntRange(1, _MOST), default=1000, show_default=True, help="how many at most")
@click.option("--dry-run", is_flag=True, help="only say what would be done")
@click.pass_context
def redrive(context: click.Context, /, policy: str, most: int, dry_run: bool, **options: Any) -> None:
    """Send again those that can be stored now, after limits were raised or a fault was mended.

    One that still cannot be stored ends the drive (stop-on-error), stays while the drive goes on (reinsert), or is put
    aside (drop-invalid). Driven twice, an event is stored once.
    """

    async def work(letters: DeadLetterStore, settings: Settings) -> Outcome:
        found = [one.letter for one in await letters.find(_wanted(options, most))]
        limits = EventLimits.of(settings.limits.model_dump())
        if dry_run:
            return await Drive(settings.kafka.topic, limits, Policy(policy), letters, None).run(found)
        async with RecordSender(settings.kafka) as log:
            outcome = await Drive(settings.kafka.topic, limits, Policy(policy), letters, log).run(found)
        about = {"policy": policy, "sent": outcome.sent, "discarded": outcome.discarded, "left": len(outcome.left)}
        await _record(settings, AuditEntry(operator(), "dead_letters.redriven", settings.kafka.topic, about))
        return outcome

    outcome = _with_letters(context, work)
    for letter, why in outcome.left[:_SHOWN_LEFT]:
        click.echo(f"{letter.partition}/{letter.offset} still cannot be stored: {why}", err=True)
    would = "would be " if dry_run else ""
    click.echo(f"{outcome.sent} {would}sent again, {outcome.discarded} {would}put aside, {len(outcome.left)} left")
    sys.exit(1 if outcome.left and policy == Policy.STOP_ON_ERROR.value else 0)


@dead_letters.command()
@_which
@click.option("--max", "most", type=click.IntRange(1, _MOST), default=1000, show_default=True, help="how many at most")
@click.pass_context
def discard(context: click.Context, /, most: int, **options: Any) -> None:
    """Put aside: they are not listed or driven any more; their bytes stay."""

    async def work(letters: DeadLetterStore, settings: Settings) -> int:
        found = [one.letter for one in await letters.find(_wanted(options, most))]
        await letters.settle_discarded(found)
        about = {"discarded": len(found), "reason": options["reason"], "partition": options["partition"]}
        await _record(settings, AuditEntry(operator(), "dead_letters.discarded", settings.kafka.topic, about))
        return len(found)

    click.echo(f"{_with_letters(context, work)} put aside")


async def _record(settings: Settings, entry: AuditEntry) -> None:
    keys = PostgresKeys(settings.postgres, "threatlog-dead-letters")
    try:
        await keys.record([entry])
    finally:
        await keys.close()


def _with_letters(context: click.Context, work: Callable[[DeadLetterStore, Settings], Awaitable[Result]]) -> Result:
    """What `work` returns; trouble ends the command with one line and 75 or 78."""

    async def run() -> Result:
        settings = load_settings(os.environ, context.obj)
        store = PostgresStore(settings.postgres, settings.kafka.topic, operator())
        try:
            return await work(DeadLetterStore(store, settings.kafka.topic), settings)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except SettingsError as error:
        _end(str(error), EXIT_CONFIGURATION)
    except (StoreUnavailableError, KeysUnavailableError) as error:
        _end(f"PostgreSQL cannot be used: {error}", EXIT_TRY_LATER)
    except LogUnavailableError as error:
        _end(f"Kafka cannot be used: {error}; what was sent is noted, the rest was not touched", EXIT_TRY_LATER)


def _end(words: str, code: int) -> NoReturn:
    for line in words.splitlines():
        click.echo(f"threatlog: {line}", err=True)
    sys.exit(code)


def _row(found: FoundLetter) -> dict[str, object]:
    letter = found.letter
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "bytes": len(letter.payload or b""),
        "appended_at": _shown(found.appended_at),
        "headers": orjson.loads(letter.headers or "[]"),
        "settled_as": found.settled_as,
        "settled_at": _shown(found.settled_at),
        "redriven_to": found.redriven_to,
    }


def _line(found: FoundLetter) -> str:
    letter = found.letter
    state = f" [{found.settled_as}]" if found.settled_as else ""
    return f"{letter.partition}/{letter.offset} {_shown(found.appended_at)} {letter.reason}: {letter.detail}{state}"


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
