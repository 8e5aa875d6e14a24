"""Why one event is refused: a closed list of codes, and words for its sender."""

from __future__ import annotations

from typing import Final


class RejectedEventError(ValueError):
    """One event that cannot be stored.

    `code` is one of a closed list (it becomes a metric label and `dead_letters.reason`), `detail` names what was wrong
    and what is allowed, in words for the sender.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


REJECTION_CODES: Final = (
    "null_value",
    "not_json",
    "not_an_object",
    "missing_field",
    "unknown_field",
    "wrong_type",
    "bad_severity",
    "bad_source",
    "bad_timestamp",
    "bad_id",
    "bad_attributes",
    "nul_character",
    "message_too_large",
    "attributes_too_large",
    "attributes_too_deep",
    "event_too_large",
    "id_without_timestamp",
)
