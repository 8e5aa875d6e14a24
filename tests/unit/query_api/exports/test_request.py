"""What is asked of an export, and that what is kept of it is read again as the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from query_api.exports.request import read_export_request
from threatlog.process.problems import Problem

HOUR = {"start_time": "2026-11-24T10:00:00Z", "end_time": "2026-11-24T12:00:00+01:00"}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"severity": []},
        {"severity": ["high", "ERROR"], "source": "ü", "q": 'a "b" -c:d'},
        {"severity": "HIGH,LOW", "format": "csv", "compression": "zstd", "order": "oldest_first", "q": None},
        {"format": "parquet", "compression": "gzip"},
    ],
)
def test_what_is_kept_is_read_again_as_the_same(members: dict[str, Any]) -> None:
    request = read_export_request(json.dumps({**HOUR, **members}).encode())
    assert read_export_request(json.dumps(request.members).encode()) == request


def test_names_of_files_say_what_is_in_them() -> None:
    made = [
        read_export_request(json.dumps({**HOUR, "format": form, "compression": compression}).encode()).suffix
        for form in ("ndjson", "csv", "parquet")
        for compression in ("none", "gzip", "zstd")
    ]
    expected = [".ndjson", ".ndjson.gz", ".ndjson.zst", ".csv", ".csv.gz", ".csv.zst", *[".parquet"] * 3]
    assert made == expected


@pytest.mark.parametrize(
    "body", [b"\xff", b'{"start_time":"\xff"}', b"null", b"1", b'{"a":' + b"[" * 100_000, b'{"q":{"a":1}}', b"{}"]
)
def test_anything_else_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem):
        read_export_request(body)
