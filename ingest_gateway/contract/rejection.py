"""Why one event is refused: a closed list of codes, and words for its sender."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# Each code with the HTTP status of a single event that is refused for it.
REJECTION_STATUSES: Final = MappingProxyType(
    {
        "null_value": 422,
        "not_json": 400,
        "not_an_object": 422,
        "missing_field": 422,
        "unknown_field": 422,
        "wrong_type": 422,
        "bad_severity": 422,
        "bad_source": 422,
        "bad_timestamp": 422,
        "bad_id": 422,
        "bad_attributes": 422,
        "nul_character": 422,
        "message_too_large": 413,
        "attributes_too_large": 413,
        "attributes_too_deep": 422,
        "event_too_large": 413,
        "id_without_timestamp": 422,
    }
)
REJECTION_CODES: Final = tuple(REJECTION_STATUSES)

MAX_DETAIL_CHARS: Final = 300
# A long text loses its middle: what the sender wrote stands there, what is allowed stands at the end.
_KEPT_TAIL_CHARS: Final = 100


class RejectedEventError(ValueError):
    """One event that cannot be stored.

    `code` is one of a closed list (it becomes a metric label and `dead_letters.reason`), `detail` names what was wrong
    and what is allowed, in words for the sender: printable, and at most MAX_DETAIL_CHARS of them.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = shortened(detail)
        super().__init__(self.detail)


def shortened(text: str) -> str:
    """A text that quotes a sender, bounded, with what cannot be printed (U+0000 above all) as an escape."""
    if len(text) <= MAX_DETAIL_CHARS and text.isprintable():
        return text
    text = _without_middle(text)
    escaped = (char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return _without_middle("".join(escaped))


def _without_middle(text: str) -> str:
    if len(text) <= MAX_DETAIL_CHARS:
        return text
    return f"{text[: MAX_DETAIL_CHARS - _KEPT_TAIL_CHARS - 1]}…{text[-_KEPT_TAIL_CHARS:]}"
