"""One event of an answer, as far as it is shown, beside the bytes that it came as."""

from __future__ import annotations

from typing import Final

import msgspec

# In the order of their importance, as in answers.
SEVERITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO")


class LogEvent(msgspec.Struct, frozen=True):
    """An event; `attributes` are the sender's bytes."""

    id: str
    timestamp: str
    severity: str
    source: str
    message: str
    ingested_at: str
    attributes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def attributes_text(self) -> str:
        """The JSON of the attributes in one line; empty where it has none."""
        raw = b"" if isinstance(self.attributes, msgspec.UnsetType) else bytes(self.attributes)
        return one_line(raw).decode()


event_of: Final = msgspec.json.Decoder(LogEvent).decode


def one_line(encoded: bytes) -> bytes:
    """The same JSON: between its values a sender may have begun new lines, inside of them there are none."""
    return encoded.translate(_NEW_LINES)


_NEW_LINES: Final = bytes.maketrans(b"\r\n", b"  ")
