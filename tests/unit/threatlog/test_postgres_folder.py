"""Where PostgreSQL's data is, and what of an earlier life stands in its way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import wait_until
from threatlog.embedded import ServerError
from threatlog.embedded.postgres_account import data_folder, make_unfinished
from threatlog.embedded.postgres_server import _remove_stale_pid_file


def test_data_that_lies_there_is_found_also_through_a_link(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "postgres").symlink_to(place)
    assert data_folder(tmp_path / "postgres") == data_folder(place) == place
    assert data_folder(tmp_path / "none") is None


def test_a_link_that_leads_nowhere_is_told_and_no_empty_database_made(tmp_path: Path) -> None:
    place = tmp_path / "store" / "postgres-1"
    (tmp_path / "postgres").symlink_to(place)
    with pytest.raises(ServerError, match=f"postgres links to {place}, .*nothing is now; .* remove the link"):
        data_folder(tmp_path / "postgres")
    assert not place.parent.exists()


def test_what_a_killed_first_start_left_behind_a_link_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "store" / "postgres-1"
    place.mkdir(parents=True)
    (place / "half").touch()
    (tmp_path / "postgres.unfinished").symlink_to(place)
    unfinished = make_unfinished(tmp_path / "postgres", None)
    assert not place.exists()
    assert not unfinished.is_symlink()
    assert list(unfinished.iterdir()) == []


RunPostgres = Callable[[Path], int]


@pytest.fixture
def run_postgres(tmp_path: Path) -> Iterator[RunPostgres]:
    """Starts a process that is named postgres and works in this folder; returns its id."""
    program = tmp_path / "bin" / "postgres"
    program.parent.mkdir()
    shutil.copy(shutil.which("sleep") or "", program)
    started: list[subprocess.Popen[bytes]] = []

    def run(folder: Path) -> int:
        started.append(subprocess.Popen([program, "99"], cwd=folder))
        pid = started[-1].pid
        wait_until(lambda: psutil.Process(pid).name() == "postgres", 20, "it has its name")
        return pid

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.mark.parametrize("content", ["", "\n", "no number\n", "{own_pid}\n/data\n", "-5\n"])
def test_a_pid_file_that_names_no_server_is_removed(data: Path, content: str) -> None:
    (data / "postmaster.pid").write_text(content.format(own_pid=os.getpid()))
    _remove_stale_pid_file(data)
    assert not (data / "postmaster.pid").exists()


def test_a_pid_file_that_names_a_server_on_other_data_is_removed(data: Path, run_postgres: RunPostgres) -> None:
    (data / "postmaster.pid").write_text(f"{run_postgres(data.parent)}\n")
    _remove_stale_pid_file(data)
    assert not (data / "postmaster.pid").exists()


def test_a_pid_file_that_names_a_server_on_this_data_stays(data: Path, run_postgres: RunPostgres) -> None:
    (data / "postmaster.pid").write_text(f"{run_postgres(data)}\n")
    _remove_stale_pid_file(data)
    assert (data / "postmaster.pid").exists()
