"""The installation: one at a time, ended as a whole, and never of two Pythons mixed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import wait_until

ROOT = Path(__file__).parents[1]

# A Python that makes an environment of itself; its pip notes what it was asked, and waits where a file says so.
FAKE_PYTHON = """\
#!/bin/sh
case "$1 $2" in
"-V "*) echo "Python $(cat "$(dirname "$0")/version")" ;;
"-m venv")
    [ "$3" = --clear ] && shift && rm -rf "$3"
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$(dirname "$0")/version" "$3/bin/version" ;;
"-m pip")
    echo "$$" >>"$PWD/pip"
    [ ! -e "$PWD/slow" ] || exec sleep 99 ;;
esac
"""


_OF_MAKE = frozenset({"PYTHON", "MAKEFLAGS", "MAKELEVEL"})


class Checkout:
    """A folder with what the installation needs, and a Python of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "deploy/install.sh", "requirements.lock", "pyproject.toml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.python("3.11.7")
        self.started: list[subprocess.Popen[str]] = []

    def python(self, version: str) -> str:
        """A Python of this version; its path."""
        program = self.folder / f"python-{version}" / "python"
        program.parent.mkdir()
        program.write_text(FAKE_PYTHON)
        program.chmod(0o755)
        (program.parent / "version").write_text(version)
        return str(program)

    def make(self, version: str | None = "3.11.7") -> subprocess.Popen[str]:
        """`make .venv/.installed`, started."""
        python = [] if version is None else [f"PYTHON={self.folder}/python-{version}/python"]
        # Also where `make` runs these tests.
        environment = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
        process = subprocess.Popen(
            ["make", ".venv/.installed", *python],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def pips(self) -> list[int]:
        """The ids of the pips that ran."""
        path = self.folder / "pip"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()
    for pid in made.pips():
        if psutil.pid_exists(pid) and psutil.Process(pid).name() == "sleep":
            os.kill(pid, signal.SIGKILL)


def said(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def test_it_is_done_once(checkout: Checkout) -> None:
    assert "threatlog: installed" in said(checkout.make())
    assert "threatlog: " not in said(checkout.make())
    assert "threatlog: " not in said(checkout.make(None))
    assert len(checkout.pips()) == 2


def test_sigterm_to_make_ends_pip_as_well(checkout: Checkout) -> None:
    (checkout.folder / "slow").touch()
    process = checkout.make()
    (pip,) = wait_until(checkout.pips, 30, "pip runs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode != 0
    wait_until(lambda: not psutil.pid_exists(pip), 10, "pip is gone")


def test_a_second_installation_waits_for_the_first(checkout: Checkout) -> None:
    (checkout.folder / "slow").touch()
    first = checkout.make()
    (pip,) = wait_until(checkout.pips, 30, "pip runs")
    second = checkout.make()
    assert second.stdout is not None
    assert "waiting for another installation" in second.stdout.readline()
    assert checkout.pips() == [pip]
    (checkout.folder / "slow").unlink()
    os.kill(pip, signal.SIGKILL)
    first.communicate(timeout=30)
    assert first.returncode != 0  # Its pip failed, so the second does the work.
    assert "threatlog: installed" in said(second)


def test_another_python_makes_the_environment_anew(checkout: Checkout) -> None:
    said(checkout.make())
    (checkout.folder / ".venv" / "of-the-old-one").touch()
    checkout.python("3.12.1")
    assert "with Python 3.12.1" in said(checkout.make("3.12.1"))
    assert not (checkout.folder / ".venv" / "of-the-old-one").exists()


def test_what_an_interrupted_installation_left_is_made_anew(checkout: Checkout) -> None:
    (checkout.folder / ".venv").mkdir()
    (checkout.folder / ".venv" / "half").touch()
    said(checkout.make())
    assert not (checkout.folder / ".venv" / "half").exists()
