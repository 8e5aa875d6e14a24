"""Rules of the gateway's answers, and of the requests: one body for all tries, in every documented shape."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import zstandard

from loadgen.http_connection import HttpClient, Response, parse_url
from loadgen.http_sender import HttpFormat, HttpSender, read_answer, seconds_of
from loadgen.outcome import Fate

VALUES = [b'{"id":"a"}', b'{"id":"b"}']


def _response(status: int, body: Any, retry_after: str | None = None) -> Response:
    return Response(status, json.dumps(body).encode(), retry_after)


def _packed(how: HttpFormat, values: list[bytes]) -> tuple[str, dict[str, str], bytes]:
    sender = HttpSender(HttpClient(parse_url("http://gateway.example:8080/base/"), 1.0), how, 1)
    (request,) = sender.pack(values)
    assert sender.pack(values) == (request,)
    head, body = request.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return first, headers, body


def test_a_single_event_goes_to_the_single_route_as_it_is() -> None:
    first, headers, body = _packed(HttpFormat(), VALUES[:1])
    assert first == "POST /base/api/v1/logs/ingest HTTP/1.1"
    assert headers["Host"] == "gateway.example:8080"
    assert body == VALUES[0]


def test_a_key_is_sent_with_every_request_and_shown_nowhere() -> None:
    endpoint = parse_url("http://gateway.example:8080", "tlk_abc_def")
    (request,) = HttpSender(HttpClient(endpoint, 1.0), HttpFormat(), 1).pack(VALUES[:1])
    assert b"\r\nAuthorization: Bearer tlk_abc_def\r\n" in request
    assert "tlk_abc_def" not in repr(endpoint)
    assert "Authorization" not in parse_url("http://gateway.example:8080").fixed_headers


def test_what_would_end_a_header_line_is_no_key() -> None:
    with pytest.raises(ValueError, match="letters, digits and _"):
        parse_url("http://gateway.example:8080", "tlk_abc\r\nHost: elsewhere")


def test_a_batch_is_one_json_document() -> None:
    first, _, body = _packed(HttpFormat(batch=2), VALUES)
    assert first == "POST /base/api/v1/logs/ingest/batch HTTP/1.1"
    assert json.loads(body) == {"logs": [{"id": "a"}, {"id": "b"}]}


def test_ndjson_is_one_event_a_line() -> None:
    _, headers, body = _packed(HttpFormat(batch=2, shape="ndjson"), VALUES)
    assert headers["Content-Type"] == "application/x-ndjson"
    assert body == b'{"id":"a"}\n{"id":"b"}\n'


def test_bodies_are_compressed_and_say_so() -> None:
    _, headers, body = _packed(HttpFormat(batch=2, encoding="gzip"), VALUES)
    assert headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["logs"]
    _, headers, body = _packed(HttpFormat(batch=2, encoding="zstd"), VALUES)
    assert headers["Content-Encoding"] == "zstd"
    assert json.loads(zstandard.ZstdDecompressor().decompress(body))["logs"]


def test_a_batch_answer_names_the_rejected_places() -> None:
    errors = [{"index": 1, "code": "bad_severity", "detail": "…"}]
    answer = read_answer(_response(201, {"accepted": 1, "rejected": 1, "ids": ["a", None], "errors": errors}), False)
    assert answer.fate is Fate.ACKED
    assert answer.rejected == ((1, "bad_severity"),)


@pytest.mark.parametrize("body", ["nothing", {"accepted": 1, "rejected": 1, "errors": []}, {"rejected": 0}])
def test_an_answer_that_cannot_be_trusted_acknowledges_nothing(body: Any) -> None:
    assert read_answer(_response(201, body), False).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("status", "fate", "retry"),
    [
        (201, Fate.ACKED, False),
        (400, Fate.REFUSED, False),
        (413, Fate.REFUSED, False),
        (422, Fate.REFUSED, False),
        (429, Fate.NOT_TAKEN, True),
        (500, Fate.UNKNOWN, False),
        (502, Fate.UNKNOWN, False),
        (503, Fate.UNKNOWN, True),
    ],
)
def test_each_status_means_one_fate(status: int, fate: Fate, retry: bool) -> None:
    answer = read_answer(_response(status, {"code": "some_code"}, "3"), True)
    assert (answer.fate, answer.retry) == (fate, retry)
    assert answer.retry_after_s == (3.0 if retry else None)
    assert answer.code == ("201" if status == 201 else f"{status} some_code")


def test_retry_after_is_seconds_or_a_date() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert seconds_of("7") == 7.0
    assert 55 < (seconds_of(in_a_minute) or 0) <= 60
    assert seconds_of("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert seconds_of("soon") is None
    assert seconds_of(None) is None


@pytest.mark.parametrize("url", ["gateway:8080", "ftp://gateway", "http://", "127.0.0.1"])
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r"such as http://127\.0\.0\.1:8080"):
        parse_url(url)


def test_urls_give_the_port_of_their_scheme() -> None:
    assert parse_url("http://h/x/").base_path == "/x"
    assert [parse_url(url).port for url in ("http://h", "https://h", "http://h:9")] == [80, 443, 9]
    assert parse_url("http://[::1]:8080").authority == "[::1]:8080"
