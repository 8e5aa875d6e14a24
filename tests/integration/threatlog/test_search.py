"""`threatlog search` on a real query API: what it finds, how it shows it, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from query_api.reading import LoggedEvent
from tests.integration.query_api.running import fill, start_query
from tests.processes import EVENTUALLY_S, spawning
from tests.servers import Stack, StackMaker
from tests.stored_events import random_events
from tests.unit.query_api.builders import NOON
from threatlog.embedded.ports import LOOPBACK, free_port
from threatlog.search.rendering import CSV_COLUMNS

pytestmark = pytest.mark.integration

HOSTILE = "\x1b[31mred\x1b[0m \x07\r\nsecond \u202eline"
RANGE = ("--since", "2024-03-12", "--until", "2024-03-13")


@dataclass(frozen=True, slots=True)
class Searched:
    """A query API with 3,000 events, and the command that asks it."""

    stack: Stack
    url: str
    events: list[LoggedEvent]

    def environment(self, **variables: str) -> dict[str, str]:
        return self.stack.with_environment(**{"THREATLOG_URL": self.url, "NO_COLOR": "", **variables})

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "threatlog", "search", *arguments],
            env=self.environment(**variables),
            capture_output=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def searched(stack_maker: StackMaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    stack = stack_maker.make(4, {})
    events = random_events(random.Random(21), 2999, NOON, NOON + timedelta(hours=3))
    hostile = msgspec.structs.replace(
        events[0],
        id=type(events[0].id)(int=events[0].id.int + 1),
        message=HOSTILE,
        severity="CRITICAL",
        source="=cmd()",
        attributes=msgspec.Raw(b'{"a":\n 9007199254740993,\n "b": "\xc2\x9b"}'),
    )
    fill(stack, [*events, hostile])
    with spawning(tmp_path_factory.mktemp("search")) as spawn:
        yield Searched(stack, start_query(spawn, stack).url, [*events, hostile])
    stack_maker.remove(stack)


def test_all_pages_are_the_stored_events_newest_first(searched: Searched) -> None:
    ran = searched.run(*RANGE, "--all", "--output", "json")
    assert (ran.returncode, ran.stderr) == (0, b"")
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    newest_first = sorted(searched.events, key=lambda event: (event.timestamp, event.id.int), reverse=True)
    assert [event["id"] for event in found] == [str(event.id) for event in newest_first]
    (hostile,) = (event for event in found if event["source"] == "=cmd()")
    assert (hostile["message"], hostile["attributes"]) == (HOSTILE, {"a": 9007199254740993, "b": "\x9b"})


def test_csv_is_what_was_sent_and_no_formula(searched: Searched) -> None:
    ran = searched.run(*RANGE, "--severity", "CRITICAL", "--all", "--output", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.stdout.decode(), newline="")))
    assert len(rows) == sum(event.severity == "CRITICAL" for event in searched.events)
    assert tuple(rows[0]) == CSV_COLUMNS
    (hostile,) = (row for row in rows if "cmd()" in row["source"])
    assert (hostile["source"], hostile["message"]) == ("'=cmd()", HOSTILE)
    assert json.loads(hostile["attributes"])["a"] == 9007199254740993


def test_a_table_has_one_line_for_each_event_and_says_that_there_are_more(searched: Searched) -> None:
    ran = searched.run("severity:CRITICAL", *RANGE, "--source", "=cmd()")
    assert ran.stdout.decode().count("\n") == 1
    assert "CRITICAL  =cmd()  \\x1b[31mred\\x1b[0m \\x07\\r\\nsecond \\u202eline" in ran.stdout.decode()
    ran = searched.run(*RANGE, "--limit", "7")
    assert len(ran.stdout.splitlines()) == 7
    more, behind = ran.stderr.decode().splitlines()
    assert more == "threatlog: the newest 7 of 3,000; --limit or --all shows more"
    assert behind == "threatlog: storage is behind: what was accepted after 2024-03-12T14:00:00Z may be missing"


def test_it_ends_as_grep_does(searched: Searched) -> None:
    assert searched.run("message", *RANGE).returncode == 0
    assert searched.run("nothing-like-it", *RANGE).returncode == 1
    for arguments in (["x", "--since", "soon"], ["--all", "--limit", "3"], ["--follow", "--until", "now"], ["--nope"]):
        assert searched.run(*arguments).returncode == 2, arguments
    wrong = searched.run("(日本 OR", "b", *RANGE)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert wrong.stderr.decode().splitlines()[1:] == ["  (日本 OR b", "            ^"]
    assert "closing parenthesis" in wrong.stderr.decode()
    refused = searched.run("x", *RANGE, "--severity", "WRONG")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_no_query_api_is_one_clear_line(searched: Searched, tmp_path: Path) -> None:
    port = free_port(random.Random())
    for url in (f"http://{LOOPBACK}:{port}", f"https://{LOOPBACK}:{searched.url.rpartition(':')[2]}", "nonsense"):
        ran = searched.run("x", "--url", url)
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, b"", 1), url
        assert url in ran.stderr.decode()
    ran = searched.run("x", "--key-file", str(tmp_path / "absent"))
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)


def test_without_a_url_it_asks_the_port_of_the_settings(searched: Searched) -> None:
    port = searched.url.rpartition(":")[2]
    ran = searched.run(*RANGE, "--limit", "1", THREATLOG_URL="", THREATLOG_QUERY_PORT=port)
    assert ran.returncode == 0


def test_a_reader_that_has_enough_ends_it_quietly(searched: Searched) -> None:
    command = [sys.executable, "-m", "threatlog", "search", *RANGE, "--all", "--output", "json"]
    with subprocess.Popen(
        command, env=searched.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) in (0, 128 + signal.SIGPIPE)


def on_terminal(searched: Searched, *arguments: str, **variables: str) -> tuple[int, str]:
    """The exit code, and what a terminal got."""
    terminal, inner = pty.openpty()
    command = [sys.executable, "-m", "threatlog", "search", *arguments]
    environment = searched.environment(TERM="xterm-256color", **variables)
    process = subprocess.Popen(command, env=environment, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    shown = b""
    latest_s = time.monotonic() + EVENTUALLY_S
    try:
        while time.monotonic() < latest_s:
            if select.select([terminal], [], [], 0.1)[0]:
                piece = os.read(terminal, 65536)
                shown += piece
                if not piece:
                    break
    except OSError:  # Nobody has it open any more.
        pass
    finally:
        os.close(terminal)
    return process.wait(EVENTUALLY_S), shown.decode()


def test_a_terminal_gets_colours_and_nothing_of_the_senders_commands(searched: Searched) -> None:
    code, shown = on_terminal(searched, "severity:CRITICAL", *RANGE, "--source", "=cmd()", "--no-pager")
    assert code == 0
    assert "\x1b[1;97;41mCRITICAL\x1b[0m" in shown
    assert "\x1b[31m" not in shown
    assert "\x07" not in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    for output in ("json", "csv"):
        _, shown = on_terminal(searched, *RANGE, "--source", "=cmd()", "--no-pager", "--output", output)
        assert "\x1b" not in shown
        assert "\x9b" not in shown
        assert "\u202e" not in shown
    _, shown = on_terminal(searched, *RANGE, "--limit", "3", "--no-pager", NO_COLOR="1")
    assert "\x1b" not in shown
    _, shown = on_terminal(searched, *RANGE, "--limit", "3", "--no-pager", "--color", "never")
    assert "\x1b" not in shown


def test_a_terminal_gets_it_through_the_pager(searched: Searched, tmp_path: Path) -> None:
    pager = tmp_path / "my pager"
    pager.write_text('#!/bin/sh\nhead -n "$1"\necho "paged, LESS=$LESS"\n')
    pager.chmod(0o755)
    code, shown = on_terminal(searched, *RANGE, "--all", PAGER=f"'{pager}' 5")
    lines = shown.splitlines()
    assert (code, len(lines), lines[5]) == (0, 6, "paged, LESS=FRX")
    # Whether this one shows colours is not known.
    assert "\x1b" not in shown
    code, shown = on_terminal(searched, "nothing-like-it", *RANGE, PAGER=f"'{pager}' 5")
    assert (code, "paged" in shown) == (1, False)
    code, shown = on_terminal(searched, *RANGE, "--limit", "2", PAGER="/nowhere/pager")
    assert code == 0
    assert "\x1b[" in shown
