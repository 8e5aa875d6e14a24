"""What is written of an event: never a command to a terminal, and with JSON and CSV still what was sent."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatlog.search.caret import pointed
from threatlog.search.rendering import CSV_COLUMNS, Output, Renderer, harmless

# What terminals or readers may be led astray by, beside everything else.
HOSTILE = st.sampled_from(
    [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x9b31m",
        "\x08",
        "\r",
        "\n",
        "\t",
        "\x7f",
        "\u202e",
        "\u2066",
        "\ufeff",
        "=1+1",
        "\\",
    ]
)
TEXTS = st.lists(HOSTILE | st.text(max_size=5), max_size=6).map("".join)
OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def event(message: str, source: str = "web-01", attributes: object = None) -> bytes:
    """As an answer has it; attributes are written over several lines, as a sender may."""
    fields: dict[str, object] = {
        "id": "019ab549-2e4b-8c3e-9f0a-5b1d2c3e4f50",
        "timestamp": "2026-11-24T10:15:30.123000Z",
        "severity": "HIGH",
        "source": source,
        "message": message,
        "ingested_at": "2026-11-24T10:15:30.201000Z",
    }
    encoded = json.dumps(fields, ensure_ascii=False)
    if attributes is None:
        return encoded.encode()
    return f'{encoded[:-1]},"attributes":{json.dumps(attributes, indent=1, ensure_ascii=False)}}}'.encode()


def is_harmless(shown: str) -> bool:
    """One line, and no character in it that is not simply printed."""
    return shown.endswith("\n") and all(
        character == " " or unicodedata.category(character)[0] not in "CZ" for character in shown.removesuffix("\n")
    )


@given(TEXTS, TEXTS, TEXTS)
def test_nothing_on_a_terminal_is_a_command_to_it(message: str, source: str, attribute: str) -> None:
    encoded = event(message, source, {"a": attribute, attribute: [1]})
    outputs: tuple[Output, ...] = ("table", "json", "csv")
    for output in outputs:
        plain = Renderer(output, is_terminal=True, is_coloured=False).render(encoded).decode()
        assert is_harmless(plain.replace("\r\n", "\n")), output
    coloured = Renderer("table", is_terminal=True, is_coloured=True).render(encoded).decode()
    assert is_harmless(OUR_COLOURS.sub("", coloured))


@given(TEXTS, TEXTS)
def test_json_and_csv_hold_what_was_sent(message: str, attribute: str) -> None:
    attributes = {"a": attribute, attribute: [1, 9007199254740993]}
    encoded = event(message, attributes=attributes)
    for is_terminal in (True, False):
        line = Renderer("json", is_terminal=is_terminal, is_coloured=False).render(encoded)
        assert line.count(b"\n") == 1
        assert json.loads(line) == json.loads(encoded)
    written = Renderer("csv", is_terminal=False, is_coloured=False).render(encoded).decode("utf-8", "surrogatepass")
    (row,) = csv.reader(io.StringIO(written, newline=""))
    cells = dict(zip(CSV_COLUMNS, row, strict=True))
    assert cells["message"].removeprefix("'") == message
    assert json.loads(cells["attributes"]) == attributes
    assert not any(cell.startswith(tuple("=+-@\t\r\n＝＋－＠")) for cell in row)


def test_lines_are_as_sent_where_that_can_be_printed() -> None:
    line = Renderer("table", is_terminal=True, is_coloured=False).render(
        event("naïve 日本 \x1b[1m", attributes={"u": 1})
    )
    assert line.decode() == '2026-11-24 10:15:30.123  HIGH      web-01  naïve 日本 \\x1b[1m  {  "u": 1 }\n'
    assert harmless("a\u202eb\n\U000e0001") == "a\\u202eb\\n\\U000e0001"
    assert Renderer("table", is_terminal=False, is_coloured=False).head == b""
    assert Renderer("csv", is_terminal=False, is_coloured=False).head.decode() == ",".join(CSV_COLUMNS) + "\r\n"


@pytest.mark.parametrize(
    ("query", "position", "shown"),
    [
        ("(a OR b", 7, "  (a OR b\n         ^"),
        ("日本 )", 3, "  日本 )\n       ^"),
        ("\x1b )", 2, "  \\x1b )\n       ^"),
        ("x" * 100 + ")" + "y" * 100, 100, f"  …{'x' * 30}){'y' * 29}…\n  {' ' * 31}^"),
    ],
)
def test_the_caret_stands_under_the_character(query: str, position: int, shown: str) -> None:
    assert pointed(query, position) == shown
