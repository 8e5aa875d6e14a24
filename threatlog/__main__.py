"""The `threatlog` command: runs one part of ThreatLog, or all of it on a laptop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from threatlog.process.exit_codes import EXIT_CONFIGURATION
from threatlog.process.load_settings import CONFIG_VARIABLE, SettingsError, load_settings
from threatlog.process.settings import Settings


class _LateGroup(click.Group):
    """Imports the larger commands only when they are asked for: a service starts without the others' clients."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every name."""
        return sorted([*self.commands, *_LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; None where there is none."""
        return _LATER[cmd_name]() if cmd_name in _LATER else super().get_command(ctx, cmd_name)


def _keys() -> click.Command:
    from threatlog.keys_command import keys

    return keys


def _audit() -> click.Command:
    from threatlog.keys_command import audit

    return audit


def _dead_letters() -> click.Command:
    from threatlog.dead_letters_command import dead_letters

    return dead_letters


def _search() -> click.Command:
    from threatlog.search_command import search

    return search


_LATER: Final = {"audit": _audit, "dead-letters": _dead_letters, "keys": _keys, "search": _search}


@click.group(cls=_LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="settings file [default: config.yaml]")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Security logs in over HTTP and Kafka, exactly once into PostgreSQL and Redis, answers out."""
    context.obj = config
    if config is not None:
        # Workers are processes of their own and read the same file.
        os.environ[CONFIG_VARIABLE] = str(config.resolve())


def _settings(context: click.Context) -> Settings:
    try:
        return load_settings(os.environ, context.obj)
    except SettingsError as error:
        for line in str(error).splitlines():
            click.echo(f"threatlog: {line}", err=True)
        sys.exit(EXIT_CONFIGURATION)


@main.command()
@click.pass_context
def gateway(context: click.Context) -> None:
    """Run the gateway: HTTP to Kafka."""
    from ingest_gateway.__main__ import run

    sys.exit(run(_settings(context)))


@main.command()
@click.pass_context
def stream(context: click.Context) -> None:
    """Run the stream application: Kafka to PostgreSQL and Redis."""
    from stream_app.__main__ import run

    sys.exit(run(_settings(context)))


@main.command()
@click.pass_context
def query(context: click.Context) -> None:
    """Run the query API: PostgreSQL and Redis to HTTP."""
    from query_api.__main__ import run

    sys.exit(run(_settings(context)))


@main.command()
@click.pass_context
def migrate(context: click.Context) -> None:
    """Create or upgrade the tables in PostgreSQL, and the rights of the roles."""
    from stream_app.migrate import run

    sys.exit(run(_settings(context).postgres))


@main.command()
@click.option("--once", is_flag=True, help="do what is due, and end")
@click.pass_context
def maintain(context: click.Context, once: bool) -> None:
    """Drop days past their retention and index closed ones, where workers may not."""
    from stream_app.maintain import run

    sys.exit(run(_settings(context), once=once))


@main.command()
@click.pass_context
def topics(context: click.Context) -> None:
    """Create the topic in Kafka, or bring it in line with the settings."""
    from threatlog.topics import run

    sys.exit(run(_settings(context), click.echo))


@main.command()
@click.option("--watch", is_flag=True, help="show it anew each second until Ctrl-C")
@click.pass_context
def lag(context: click.Context, watch: bool) -> None:
    """Show how far storage is behind Kafka, partition by partition."""
    from threatlog.lag import run

    sys.exit(run(_settings(context), watch=watch))


@main.command()
@click.option("--markdown", "form", flag_value="markdown", help="the README's table: names, defaults, what is allowed")
@click.option("--yaml", "form", flag_value="yaml", help="a config.yaml of all defaults, with comments")
@click.pass_context
def settings(context: click.Context, form: str | None) -> None:
    """Show the settings in force here; passwords only as set or not set."""
    from threatlog.settings_table import config_yaml, in_force, markdown

    if form is None:
        click.echo(in_force(_settings(context)), nl=False)
    else:
        click.echo(markdown() if form == "markdown" else config_yaml(), nl=False)


def _up_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `up` and `demo` share."""
    port = click.IntRange(1, 65535)
    for option in (
        click.option("--data-dir", type=click.Path(path_type=Path), default=Path(".threatlog"), show_default=True),
        click.option("--query-port", type=port, help="[default: the setting query.port]"),
        click.option("--gateway-port", type=port, help="[default: the setting server.port]"),
    ):
        command = option(command)
    return command


def _with_ports(settings: Settings, gateway: int | None, query: int | None) -> Settings:
    """The settings under the ports of the command line."""
    server = settings.server.model_copy(update={} if gateway is None else {"port": gateway})
    reader = settings.query.model_copy(update={} if query is None else {"port": query})
    return settings.model_copy(update={"server": server, "query": reader})


@main.command()
@_up_options
@click.pass_context
def up(context: click.Context, gateway_port: int | None, query_port: int | None, data_dir: Path) -> None:
    """Run everything on this machine: servers, gateway, stream application, query API."""
    from threatlog.up.run import UpOptions, run_up

    sys.exit(run_up(UpOptions(data_dir, context.obj), _with_ports(_settings(context), gateway_port, query_port)))


@main.command()
@_up_options
@click.option("--rps", type=click.FloatRange(0, min_open=True), default=200.0, show_default=True, help="events/s")
@click.pass_context
def demo(context: click.Context, gateway_port: int | None, query_port: int | None, data_dir: Path, rps: float) -> None:
    """The same as `up`, and send sample events at a steady rate."""
    from threatlog.up.run import UpOptions, run_up

    sys.exit(run_up(UpOptions(data_dir, context.obj, rps), _with_ports(_settings(context), gateway_port, query_port)))


if __name__ == "__main__":
    main()
