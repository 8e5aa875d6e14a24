"""Rules of the command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadgen.__main__ import main
from loadgen.command_types import Duration


def test_seed_prints_one_json_object_a_line() -> None:
    result = CliRunner().invoke(main, ["seed", "--count", "25"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert len(lines) == 25
    assert set(lines[0]) == {"timestamp", "severity", "source", "message", "attributes"}
    assert lines[0]["timestamp"].startswith("2026-01-01T00:00:00")


def test_seed_writes_the_same_file_each_time(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        path = tmp_path / name
        CliRunner().invoke(main, ["seed", "--count", "300", "--ids", "--seed", "3", "--out", str(path)])
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_seed_begins_and_spans_as_told() -> None:
    arguments = ["seed", "--count", "100", "--start", "2026-05-01T12:00:00+02:00", "--span", "10m"]
    lines = CliRunner().invoke(main, arguments).stdout.splitlines()
    times = [json.loads(line)["timestamp"] for line in lines]
    assert times[0] == "2026-05-01T10:00:00.000Z"
    assert "2026-05-01T10:08" < times[-1] < "2026-05-01T10:10"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed", "--count", "0"], "0 is not in the range x>=1"),
        (["seed", "--count", "5", "--start", "2026-05-01"], "is not RFC 3339 with a zone"),
        (["seed", "--count", "5", "--span", "soon"], "is not a duration such as"),
        (["run", "--batch", "9999"], "not in the range 1<=x<=5000"),
        (["seed", "--count", "5", "--out", "nowhere/x"], "there is no folder"),
        (["run", "--json", "nowhere/x.json"], "there is no folder"),
        (["run", "--plot", "nowhere/x.png"], "there is no folder"),
        (["run", "--json", "loadgen"], "is a directory"),
        (["run", "--plot", "x.gif"], "must end in .png or .html"),
        (["run", "--gateway-url", "localhost"], "is not a URL such as"),
        (["run", "--target", "kafka", "--gzip"], "are for the http target"),
    ],
)
def test_wrong_options_are_named_with_what_is_allowed(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds
