"""One run at a time holds a data folder, and says where it can be found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from threatlog.embedded import ServerError
from threatlog.up.data_folder import open_data_folder


def test_a_second_run_on_the_same_folder_is_told_of_the_first(tmp_path: Path) -> None:
    first = open_data_folder(tmp_path / "data")
    with pytest.raises(ServerError, match=rf"in use by another `threatlog up` \(process {os.getpid()}\); .*DATA_DIR"):
        open_data_folder(tmp_path / "data")
    first.close()


def test_a_folder_can_be_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    open_data_folder(tmp_path / "data").close()
    open_data_folder(tmp_path / "data").close()


def test_a_path_that_is_no_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match=r"cannot be used: Not a directory; choose another DATA_DIR") as caught:
        open_data_folder(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_ports_are_written_for_other_programs(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path)
    folder.write_ports({"gateway": 18080, "stream": (20_000,)})
    folder.close()
    assert json.loads((tmp_path / "ports.json").read_text()) == {"gateway": 18080, "stream": [20_000]}


def test_the_environment_file_can_be_read_by_a_shell(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path)
    path = folder.write_environment({"THREATLOG_REDIS_PASSWORD": "", "THREATLOG_POSTGRES_HOST": "it's"})
    folder.close()
    assert path.read_text() == ("export THREATLOG_POSTGRES_HOST='it'\"'\"'s'\nexport THREATLOG_REDIS_PASSWORD=''\n")
