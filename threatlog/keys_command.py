"""`threatlog keys` and `threatlog audit`: makes, lists, rotates and ends API keys, and shows what was done."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

import click
import orjson

from threatlog.access.api_key import NewKey, make_key
from threatlog.access.audit import AuditEntry, RecordedEntry, operator
from threatlog.access.caller import Caller, Quota, Scope
from threatlog.access.key_table import StoredKey
from threatlog.access.postgres_keys import KeysUnavailableError, PostgresKeys, UnknownKeyError
from threatlog.durations import duration
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_TRY_LATER
from threatlog.process.load_settings import SettingsError, load_settings

_MAX_NAME_CHARS = 100
Result = TypeVar("Result")


class _Duration(click.ParamType):
    """`90d`, or a duration as in the settings, of whole seconds at least."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        text = str(value)
        try:
            found = duration(text)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no duration such as 90d, 24h or 30m", param, ctx)
        if not timedelta(0) <= found <= timedelta(days=3650):
            self.fail(f"{text!r} is not from 0s to 3650d", param, ctx)
        return found


_DURATION = _Duration()


@click.group()
def keys() -> None:
    """API keys: who may send, query, see metrics."""


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice([scope.value for scope in Scope]))
@click.option("--source", "sources", multiple=True, help="a source it may send events of [default: any]")
@click.option("--expires", type=_DURATION, help="how long it is good, such as 90d [default: for ever]")
@click.option("--events-per-second", type=click.FloatRange(0, min_open=True), help="its quota [default: the setting]")
@click.option("--bytes-per-second", type=click.FloatRange(0, min_open=True), help="its quota [default: the setting]")
@click.pass_context
def create(context: click.Context, /, name: str, scopes: Sequence[str], sources: Sequence[str], **options: Any) -> None:
    """Make a key for NAME and print it, once: it is kept nowhere."""
    if not name.isprintable() or not 0 < len(name.strip()) <= _MAX_NAME_CHARS:
        raise click.BadParameter(f"must be 1 to {_MAX_NAME_CHARS} printable characters", param_hint="NAME")
    new = make_key(secrets.token_bytes)
    quota = Quota(options["events_per_second"], options["bytes_per_second"])
    granted = frozenset(Scope(scope) for scope in scopes)
    caller = Caller(new.key_id, name, granted, frozenset(sources) or None, quota)
    expires_at = None if options["expires"] is None else _now() + options["expires"]
    about = {"name": name, "scopes": sorted(granted), "sources": sorted(sources), "expires_at": _shown(expires_at)}
    entry = AuditEntry(operator(), "key.created", new.key_id, about)
    _with_keys(context, lambda store: store.create(caller, new.secret_hash, expires_at, entry))
    _show_once(new, f"the key {new.key_id} of {name}, {_until(expires_at)}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="one JSON object a line")
@click.pass_context
def list_keys(context: click.Context, as_json: bool) -> None:
    """Show every key there ever was, without the keys themselves."""
    now = _now()
    rows = [_row(key, now) for key in _with_keys(context, lambda store: store.load())]
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(row))
    elif rows:
        _print_table(rows)
    else:
        click.echo("there are no keys; `threatlog keys create NAME --scope ...` makes one", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_context
def revoke(context: click.Context, key_id: str) -> None:
    """End a key now; every process turns it away within five seconds."""
    entry = AuditEntry(operator(), "key.revoked", key_id)
    _with_keys(context, lambda store: store.revoke(key_id, entry))
    click.echo(f"revoked {key_id}", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option("--overlap", type=_DURATION, default="24h", show_default=True, help="how long the old one stays good")
@click.option("--expires", type=_DURATION, help="how long the new one is good [default: for ever]")
@click.pass_context
def rotate(context: click.Context, key_id: str, overlap: timedelta, expires: timedelta | None) -> None:
    """Make a key that may do what ID may, which ends after the overlap, and print it, once."""
    new, now = make_key(secrets.token_bytes), _now()
    expires_at = None if expires is None else now + expires
    about = {"replaced_by": new.key_id, "ends_at": _shown(now + overlap)}
    entry = AuditEntry(operator(), "key.rotated", key_id, about)
    pair = new.key_id, new.secret_hash
    old = _with_keys(context, lambda store: store.rotate(key_id, pair, expires_at, now + overlap, entry))
    words = f"the key {new.key_id} of {old.caller.name}, {_until(expires_at)}; {key_id} ends {_shown(now + overlap)}"
    _show_once(new, words)


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="how many, the newest")
@click.option("--json", "as_json", is_flag=True, help="one JSON object a line")
@click.pass_context
def audit(context: click.Context, limit: int, as_json: bool) -> None:
    """Show what was done: changes of keys, failed authentications, actions on dead letters."""
    for recorded in reversed(_with_keys(context, lambda store: store.audit(limit))):
        click.echo(_audit_json(recorded) if as_json else _audit_line(recorded))


def _with_keys(context: click.Context, work: Callable[[PostgresKeys], Awaitable[Result]]) -> Result:
    """What `work` returns; trouble ends the command with one line and 75, 78 or 1."""

    async def run() -> Result:
        store = PostgresKeys(load_settings(os.environ, context.obj).postgres, "threatlog-keys")
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except SettingsError as error:
        _end(str(error), EXIT_CONFIGURATION)
    except KeysUnavailableError as error:
        _end(str(error), EXIT_TRY_LATER)
    except UnknownKeyError as error:
        _end(str(error), 1)


def _end(words: str, code: int) -> NoReturn:
    for line in words.splitlines():
        click.echo(f"threatlog: {line}", err=True)
    sys.exit(code)


def _show_once(new: NewKey, words: str) -> None:
    """The key alone goes to standard output, so that `KEY=$(threatlog keys create ...)` has it."""
    click.echo(f"{words}; it is not shown again", err=True)
    click.echo(new.text)


def _row(key: StoredKey, now: datetime) -> dict[str, object]:
    caller = key.caller
    return {
        "id": caller.key_id,
        "name": caller.name,
        "state": key.state(now),
        "scopes": sorted(caller.scopes),
        "sources": None if caller.sources is None else sorted(caller.sources),
        "events_per_s": caller.quota.events_per_s,
        "bytes_per_s": caller.quota.bytes_per_s,
        "created_at": _shown(key.created_at),
        "expires_at": _shown(key.expires_at),
        "revoked_at": _shown(key.revoked_at),
        "last_used_at": _shown(key.last_used_at),
        "replaced_by": key.replaced_by,
    }


def _print_table(rows: Sequence[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("id", "name", "state", "scopes", "sources", "expires", "last used"):
        table.add_column(name, no_wrap=name == "id", overflow="fold")
    for row in rows:
        scopes, sources = (row[name] if isinstance(row[name], list) else ["any"] for name in ("scopes", "sources"))
        assert isinstance(scopes, list)
        assert isinstance(sources, list)
        cells = [row["id"], row["name"], row["state"], ", ".join(scopes), ", ".join(sources)]
        table.add_row(*(str(cell) for cell in [*cells, row["expires_at"] or "never", row["last_used_at"] or "never"]))
    Console().print(table)


def _audit_line(recorded: RecordedEntry) -> str:
    entry = recorded.entry
    return f"{_shown(recorded.at)} {entry.action} {entry.target} by {entry.actor} {orjson.dumps(entry.detail).decode()}"


def _audit_json(recorded: RecordedEntry) -> bytes:
    entry = recorded.entry
    about = {"actor": entry.actor, "action": entry.action, "target": entry.target, "detail": entry.detail}
    return orjson.dumps({"at": _shown(recorded.at), **about})


def _until(expires_at: datetime | None) -> str:
    return "good for ever" if expires_at is None else f"good until {_shown(expires_at)}"


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _now() -> datetime:
    return datetime.now(UTC)
