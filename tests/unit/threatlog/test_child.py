"""A child process ends when it is told to, or when its parent does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.processes import wait_until
from threatlog.embedded import ServerError
from threatlog.embedded.child import ChildProcess, Launch, run_to_end


def python(code: str, log_path: Path) -> Launch:
    return Launch((sys.executable, "-c", code), log_path)


def test_its_output_is_in_the_log_of_this_start_alone(tmp_path: Path) -> None:
    log_path = tmp_path / "a.log"
    ChildProcess(python("print('first')", log_path)).wait(20)
    second = ChildProcess(python("print('second')", log_path))
    second.wait(20)
    assert second.log_tail() == "second"
    assert log_path.read_text() == "first\nsecond\n"


def test_a_program_that_does_not_exist_ends_with_127_and_says_so(tmp_path: Path) -> None:
    child = ChildProcess(Launch(("/no/such/program",), tmp_path / "a.log"))
    assert child.wait(20) == 127
    assert child.log_tail() == "/no/such/program cannot be started: No such file or directory"


def test_a_child_that_ignores_sigterm_is_killed_after_the_timeout(tmp_path: Path) -> None:
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(99)"
    child = ChildProcess(python(code, tmp_path / "a.log"))
    wait_until(lambda: child.log_tail() == "on", 20, "it ignores SIGTERM")
    assert child.stop(0.1) == -signal.SIGKILL


def test_a_frozen_child_can_be_stopped(tmp_path: Path) -> None:
    child = ChildProcess(python("import time; time.sleep(99)", tmp_path / "a.log"))
    child.freeze()
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED, 20, "it is frozen")
    assert child.stop(20) == -signal.SIGTERM


def test_killing_takes_its_own_children_with_it(tmp_path: Path) -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '99']); print(p.pid, flush=True); p.wait()"
    child = ChildProcess(python(code, tmp_path / "a.log"))
    grandchild = int(wait_until(child.log_tail, 20, "it tells its child's id"))
    child.kill()
    wait_until(lambda: not psutil.pid_exists(grandchild) or is_zombie(grandchild), 20, "its child is gone")


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from threatlog.embedded.child import ChildProcess, Launch\n"
        f"child = ChildProcess(Launch(('sleep', '99'), Path({str(tmp_path / 'child.log')!r})))\n"
        "print(child.pid, flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_until(lambda: psutil.Process(child).name() == "sleep", 20, "the program has taken over")
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(child) or is_zombie(child), 20, "the child is gone")


def test_a_child_leads_its_own_process_group(tmp_path: Path) -> None:
    child = ChildProcess(python("import time; time.sleep(99)", tmp_path / "a.log"))
    assert os.getpgid(child.pid) == child.pid
    child.kill()


def test_a_log_that_grew_large_is_turned_over(tmp_path: Path) -> None:
    log_path = tmp_path / "a.log"
    with log_path.open("wb") as log:
        log.truncate(21 << 20)
    ChildProcess(python("print('new')", log_path)).wait(20)
    assert log_path.read_text() == "new\n"
    assert (tmp_path / "a.log.1").stat().st_size == 21 << 20


def test_a_short_program_gives_its_code_and_all_it_printed() -> None:
    code = "import sys; print(sys.stdin.read()); print('fault', file=sys.stderr); sys.exit(3)"
    assert run_to_end([sys.executable, "-c", code], 20, stdin="in") == (3, "in\nfault\n")


def test_a_short_program_that_does_not_end_is_told_in_one_line() -> None:
    with pytest.raises(ServerError, match=r"^sleep did not end within 0\.5 s$"):
        run_to_end(["sleep", "99"], 0.5)


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
