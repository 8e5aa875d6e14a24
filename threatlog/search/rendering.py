"""Events as lines of text, JSON or CSV: what a terminal shows is never a command to it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Final, Literal

from threatlog.search.log_event import LogEvent, event_of, one_line

Output = Literal["table", "json", "csv"]
CSV_COLUMNS: Final = ("id", "timestamp", "severity", "source", "message", "ingested_at", "attributes")
_COLOURS: Final = {"CRITICAL": "1;97;41", "HIGH": "1;31", "MEDIUM": "33", "LOW": "36", "INFO": "32"}
_DIM, _ESCAPED, _RESET = "\x1b[2m", "\x1b[7m", "\x1b[0m"
# Whatever is no printable character: controls, marks that turn the direction of writing, halves of characters.
_SUSPECT: Final = re.compile(r"[^ -~]")
# As in exports: what a spreadsheet could take for a formula, and the apostrophe that is put before it.
_FORMULA_BEGINNINGS: Final = tuple("=+-@\t\r\n＝＋－＠'")


def harmless(text: str) -> str:
    """The text with every character that is not printed written as an escape, such as \\x1b or \\u202e."""
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def harmless_json(encoded: bytes) -> bytes:
    """The same JSON, with every character that is not printed as an escape; such stand only in its texts."""
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _SUSPECT.sub(_json_escaped, encoded.decode("utf-8", "surrogatepass")).encode()


def _json_escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class Renderer:
    """Makes of an event what is written, with the end of the line."""

    def __init__(self, output: Output, *, is_terminal: bool, is_coloured: bool) -> None:
        self._is_terminal = is_terminal
        self._is_coloured = is_coloured
        render: dict[Output, Callable[[bytes], bytes]] = {"table": self._table, "json": self._json, "csv": self._csv}
        self.render = render[output]
        self.head = _csv_line(CSV_COLUMNS) if output == "csv" else b""

    def _json(self, encoded: bytes) -> bytes:
        line = one_line(encoded)
        return (harmless_json(line) if self._is_terminal else line) + b"\n"

    def _csv(self, encoded: bytes) -> bytes:
        event = event_of(encoded)
        cells: tuple[str, ...] = (
            *(event.id, event.timestamp, event.severity, event.source, event.message),
            *(event.ingested_at, event.attributes_text()),
        )
        if self._is_terminal:
            cells = tuple(harmless(cell) for cell in cells)
        return _csv_line(cells)

    def _table(self, encoded: bytes) -> bytes:
        event = event_of(encoded)
        moment = event.timestamp.replace("T", " ").removesuffix("Z")[:23].ljust(23)
        severity = event.severity.ljust(8)
        attributes = event.attributes_text()
        parts = [moment, severity, event.source, event.message, *([attributes] if attributes else [])]
        if not self._is_coloured:
            return "  ".join(map(harmless, parts)).encode() + b"\n"
        return self._coloured(event, moment, severity, attributes).encode() + b"\n"

    def _coloured(self, event: LogEvent, moment: str, severity: str, attributes: str) -> str:
        colour = _COLOURS.get(event.severity, "0")
        parts = [
            f"{_DIM}{harmless(moment)}{_RESET}",
            f"\x1b[{colour}m{harmless(severity)}{_RESET}",
            _marked(event.source),
            _marked(event.message),
        ]
        if attributes:
            parts.append(f"{_DIM}{harmless(attributes)}{_RESET}")
        return "  ".join(parts)


def _marked(text: str) -> str:
    """With what is escaped told apart from what was sent in that form."""
    if text.isascii() and text.isprintable():
        return text
    return _SUSPECT.sub(lambda m: m[0] if m[0].isprintable() else f"{_ESCAPED}{_escaped(m)}{_RESET}", text)


def _csv_line(cells: tuple[str, ...]) -> bytes:
    """As in RFC 4180. Taking one apostrophe away where a cell begins with it gives back every cell."""
    made = io.StringIO()
    csv.writer(made, lineterminator="\r\n").writerow(
        f"'{cell}" if cell.startswith(_FORMULA_BEGINNINGS) else cell for cell in cells
    )
    return made.getvalue().encode("utf-8", "surrogatepass")
