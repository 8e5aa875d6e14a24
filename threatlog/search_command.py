"""`threatlog search`: finds events, shows them newest first, and follows those that come."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from threatlog.process.load_settings import SettingsError, load_settings
from threatlog.search.query_api import Address
from threatlog.search.rendering import Output
from threatlog.search.run import EXIT_ERROR, SearchOptions, run, say
from threatlog.search.times import ACCEPTED, moment, written

URL_VARIABLE: Final = "THREATLOG_URL"
KEY_VARIABLE: Final = "THREATLOG_API_KEY"
_DEFAULT_SINCE: Final = timedelta(hours=1)
_DEFAULT_LIMIT: Final = 100
_OUTPUTS: Final[dict[str, Output]] = {"table": "table", "json": "json", "csv": "csv"}


class _Moment(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return moment(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_EPILOG: Final = """\b
Examples:
  threatlog search 'failed password' --since 1h
  threatlog search 'severity>=HIGH client_ip:203.0.113.0/24 -user:guest' --since yesterday
  threatlog search 'user.name:root OR path:*.exe' --since 7d --all --output csv > found.csv
  threatlog search source:web-01 --follow
  threatlog search -- '-user:guest' --since 15m --output json | jq .attributes

\b
The filter is described in docs/filter-language.md. One that begins with - goes behind --, and before it
all options that are meant as such.

\b
It ends with 0 where something was found, 1 where nothing was, 2 after an error, 130 after Ctrl-C."""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.argument("query", nargs=-1)
@click.option("--since", type=_Moment(), help=f"first moment [default: 1h]: {ACCEPTED}")
@click.option("--until", type=_Moment(), help="first moment that does not count [default: now]")
@click.option("--severity", multiple=True, help="CRITICAL, HIGH, MEDIUM, LOW or INFO; several with commas")
@click.option("--source", default="", help="the whole name of one source")
@click.option("--limit", type=click.IntRange(1), help=f"most events [default: {_DEFAULT_LIMIT}]")
@click.option("--all", "every", is_flag=True, help="every event, however many")
@click.option("--follow", "-f", is_flag=True, help="show what comes, until Ctrl-C; with --since also what came before")
@click.option("--output", "-o", type=click.Choice(list(_OUTPUTS)), default="table", show_default=True)
@click.option("--url", help=f"of the query API [default: {URL_VARIABLE}, or the port of the settings on this machine]")
@click.option("--key-file", type=click.Path(path_type=Path), help=f"holds the API key [default: {KEY_VARIABLE}]")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), help="certificates to trust for https [default: the system's]"
)
@click.option("--pager/--no-pager", default=True, help="show through PAGER, or less, where output is a terminal")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
@click.pass_context
def search(context: click.Context, /, query: Sequence[str], **options: Any) -> None:
    """Find events that QUERY, in the filter language, selects; newest first. Without it all are.

    In a table characters that do not print are shown as escapes, such as \\x1b. JSON, one event a line, and CSV hold
    what was sent.
    """
    address = _address(context, options)
    sys.exit(run(_options(" ".join(query), options), address, os.environ))


def _options(query: str, options: Mapping[str, Any]) -> SearchOptions:
    follow, every, limit = options["follow"], options["every"], options["limit"]
    now = datetime.now(UTC)
    if every and (follow or limit is not None):
        raise click.UsageError("--all goes neither with --follow nor with --limit")
    if follow and options["until"] is not None:
        raise click.UsageError("--follow has no end, so it goes not with --until")
    until = options["until"] or now
    since = options["since"] or (None if follow else until - _DEFAULT_SINCE)
    if since is not None and not follow and since >= until:
        raise click.UsageError(f"--since ({written(since)}) must be before --until ({written(until)})")
    for name, text in (("QUERY", query), ("--source", options["source"])):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise click.UsageError(f"{name} is no text in UTF-8")
    return SearchOptions(
        query,
        since,
        until,
        ",".join(options["severity"]),
        options["source"],
        None if every else limit or _DEFAULT_LIMIT,
        follow,
        _OUTPUTS[options["output"]],
        options["color"],
        options["pager"],
    )


def _address(context: click.Context, options: Mapping[str, Any]) -> Address:
    url = options["url"] or os.environ.get(URL_VARIABLE) or _local_url(context)
    ca_file = str(options["ca_file"] or "")
    return Address(url.rstrip("/"), _key(options["key_file"]), ca_file)


def _local_url(context: click.Context) -> str:
    """Where `make up` has it, with the same settings."""
    try:
        port = load_settings(os.environ, context.obj).query.port
    except SettingsError as error:
        say(f"the settings do not say where the query API is; --url does: {error}")
        sys.exit(EXIT_ERROR)
    return f"http://127.0.0.1:{port}"


def _key(path: Path | None) -> str:
    try:
        key = (os.environ.get(KEY_VARIABLE, "") if path is None else path.read_text(encoding="ascii")).strip()
    except (OSError, UnicodeDecodeError) as error:
        say(f"{path} cannot be read as a key: {error}")
        sys.exit(EXIT_ERROR)
    if not key.isascii() or not (key.isprintable() and " " not in key):
        say(f"what {path or KEY_VARIABLE} holds is no key")
        sys.exit(EXIT_ERROR)
    return key
