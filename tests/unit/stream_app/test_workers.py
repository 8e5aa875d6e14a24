"""What the end of several workers says about the whole."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from stream_app.workers import _code_of, _stop
from tests.processes import wait_until


@pytest.mark.parametrize(("status", "code"), [(0, 0), (75, 75), (70, 70), (-15, 0), (-9, 75)])
def test_a_killed_worker_may_have_left_work_and_one_that_never_listened_had_none(status: int, code: int) -> None:
    assert _code_of(status) == code


def child(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_the_gravest_code_of_all_workers_is_that_of_the_whole() -> None:
    answering = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit({})); print(flush=True); time.sleep(60)"
    )
    children = [child(answering.format(code)) for code in (0, 75)]
    for started in children:
        assert started.stdout is not None
        started.stdout.readline()
        started.stdout.close()

    assert _stop(children) == 75


def test_workers_that_sigterm_reached_before_they_listened_end_well() -> None:
    children = [child("import time; time.sleep(60)")]

    assert _stop(children) == 0
    for started in children:
        assert started.stdout is not None
        started.stdout.close()


def test_workers_are_gone_when_what_started_them_is_killed() -> None:
    # It is frozen while it starts, so that it cannot end by itself for want of a Kafka.
    program = (
        "import time; from stream_app.workers import _start; child = _start(1);"
        "print(child.pid, flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: "stream_app" in worker.cmdline()[:3], 20, "the worker has taken over")
        worker.suspend()
        parent.kill()
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 20, "the worker is gone")
