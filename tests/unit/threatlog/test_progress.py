"""What is said reaches its reader, and a reader who left disturbs nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TextIO, cast

from rich.console import Console

from threatlog.up.progress import Outlet, Progress

SPEAKER = """
import sys
from rich.console import Console
from threatlog.up.progress import Outlet, Progress
progress = Progress(Console(file=Outlet(sys.stdout)))
print("ready", file=sys.stderr, flush=True)
sys.stdin.readline()
for number in range(5):
    progress.step("stopping")
print("went on", file=sys.stderr, flush=True)
"""


def test_each_step_is_a_line_with_its_time() -> None:
    stream = io.StringIO()
    Progress(Console(file=cast(TextIO, Outlet(stream))), lambda: 0.0).step("starting")
    assert stream.getvalue() == "    0.0 s  starting\n"


def test_a_pipe_without_a_reader_neither_stops_it_nor_changes_its_exit_code() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SPEAKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as speaker:
        assert speaker.stdin and speaker.stdout and speaker.stderr  # noqa: PT018 - for the types
        speaker.stderr.readline()
        speaker.stdout.close()
        speaker.stdin.write("\n")
        speaker.stdin.flush()
        assert speaker.stderr.read() == "went on\n"
    assert speaker.returncode == 0


def test_a_terminal_that_is_gone_is_written_to_without_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - its writes give OSError, as those of a closed terminal
        progress = Progress(Console(file=cast(TextIO, Outlet(full))))
        for _ in range(2000):
            progress.good("said to nobody")
