"""Which signals mean to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

LISTENER = """
import sys
from threatlog.up.stopping import StopRequest
stop = StopRequest()
stop.listen()
print("listening", flush=True)
sys.stdin.readline()
print(stop.made, flush=True)
"""


@pytest.mark.parametrize(("prefix", "made"), [((), True), (("nohup",), False)])
def test_the_end_of_the_terminal_is_a_request_unless_it_was_ignored_at_the_start(
    prefix: tuple[str, ...], made: bool
) -> None:
    command = [*prefix, sys.executable, "-c", LISTENER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        listener.send_signal(signal.SIGHUP)
        listener.stdin.write("\n")
        listener.stdin.flush()
        assert listener.stdout.readline() == f"{made}\n"
