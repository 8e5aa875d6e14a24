"""How a worker's process ends: by which code, within which time, and also where its event loop is stuck."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from stream_app.__main__ import STOP_WITHIN_S, exit_code_of
from stream_app.outcomes import ConfigurationFaultError, LogUnavailableError
from stream_app.pipeline import TopicCutError

# A worker of stand-ins, with the names that its threads look at.
WORKER = """
import os, signal, sys, threading, time
from types import SimpleNamespace as Part
import stream_app.__main__ as main
main.STOP_WITHIN_S = 0.2
pipeline = Part(left_unfinished={left_unfinished}, stored_offsets={{0: 5, 1: 7}}, is_stopped=lambda n: {stopped})
positions = Part(ends=lambda: {{0: 5, 1: {end}}})
worker = main._Worker(Part(in_group=True), pipeline, positions, Part(store_answers=True, ticks=3), None)
"""


def run(
    body: str, left_unfinished: bool = False, end: int = 7, stopped: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs `body` in a process of its own."""
    script = WORKER.format(left_unfinished=left_unfinished, end=end, stopped=stopped) + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationFaultError("x"), 78),
        (LogUnavailableError("x"), 75),
        (TopicCutError(0, 2, 1), 70),
        (RuntimeError("x"), 70),
    ],
)
def test_every_error_has_a_documented_code(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize(("left_unfinished", "code"), [(False, 0), (True, 75)])
def test_a_stop_that_hangs_ends_in_time_and_says_whether_work_was_left(left_unfinished: bool, code: int) -> None:
    ended = run("worker.arm_stop(); worker.arm_stop(); time.sleep(20)", left_unfinished)

    assert (ended.returncode, ended.stderr.count("stopping took too long")) == (code, 1)
    assert STOP_WITHIN_S < 10


def test_a_stop_that_hangs_in_the_log_itself_ends_too() -> None:
    ended = run(
        "main.log.root.addHandler(h := main.logging.StreamHandler()); h.acquire(); worker.arm_stop(); time.sleep(20)"
    )

    assert ended.returncode == 0


def test_a_worker_that_stands_still_ends_with_75() -> None:
    ended = run("worker.end_stuck('no progress')")

    assert ended.returncode == 75
    assert "no progress" in ended.stderr


@pytest.mark.parametrize(("end", "stopped", "behind"), [(7, False, False), (8, False, True), (8, True, False)])
def test_vitals_tell_progress_and_whether_records_wait(end: int, stopped: bool, behind: bool) -> None:
    ended = run("print(worker.vitals())", end=end, stopped=stopped)

    assert ended.stdout.strip() == (
        f"Vitals(in_group=True, progress=12, behind={behind}, store_answers=True, loop_ticks=3)"
    )


def test_sigterm_bounds_the_stop_also_where_the_event_loop_is_stuck() -> None:
    began = time.monotonic()
    ended = run(
        """
        os.environ["F_LOOP"] = "uvloop"
        from threatlog.process.load_settings import load_settings
        from stream_app import faust_app
        app = faust_app.build_app(load_settings({"THREATLOG_CONFIG": os.devnull}), None, None, "t")
        app.on_stopping = worker.arm_stop
        faust = faust_app._Worker(app, override_logging=False, redirect_stdouts=False, quiet=True)
        async def stuck():
            faust.install_signal_handlers()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
        faust.loop.run_until_complete(stuck())
        """
    )

    assert (ended.returncode, time.monotonic() - began < 15) == (0, True), ended.stderr
