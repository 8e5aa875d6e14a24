"""Cuts the list of a batch into its items without decoding them, so that a bad one costs the others nothing."""

from __future__ import annotations

import re
from typing import Final

from threatlog.process.problems import Problem

# Each bracket outside of strings is a step in Python, a quarter of a microsecond; a real event has a few.
MAX_BRACKETS: Final = 300_000

_HEAD: Final = re.compile(rb'\s*\{\s*"logs"\s*:\s*\[')
# Possessive, so that a string without an end is walked through once and not from each of its quotes.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_TO_BRACKET_OR_COMMA: Final = re.compile(rb'(?:[^"{}\[\],]++|' + _STRING + rb")*+[{}\[\],]", re.DOTALL)
_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+[{}\[\]]", re.DOTALL)
_OPENING: Final = b"{["
_COMMA_OR_END: Final = b",]"
_LIST_END: Final = ord("]")


def split_items(body: bytes, max_events: int) -> list[bytes] | None:
    """The items of `{"logs": [...]}`, whatever they are; None when the body is not that. Raises Problem 413 or 422.

    Strings are skipped and brackets counted: what is wrong within one item leaves the others whole.
    """
    head = _HEAD.match(body)
    if head is None:
        return None
    items: list[bytes] = []
    depth, start, end = 0, head.end(), head.end()
    for _ in range(MAX_BRACKETS):
        # The commas inside an item are passed over.
        found = (_TO_BRACKET if depth else _TO_BRACKET_OR_COMMA).match(body, end)
        if found is None:
            return None
        end = found.end()
        sign = body[end - 1]
        if sign in _OPENING:
            depth += 1
        elif depth:
            depth -= 1
        elif sign in _COMMA_OR_END:
            if len(items) == max_events:
                raise too_many_events(max_events)
            items.append(body[start : end - 1].strip())
            start = end
            if sign == _LIST_END:
                return items if body[end:].strip() == b"}" else None
        else:
            return None
    raise Problem(
        422,
        "bad_batch",
        f"something in the batch is wrong, and over {MAX_BRACKETS} brackets are too many to find out in which event",
    )


def too_many_events(max_events: int) -> Problem:
    """The answer to a batch over the limit; it is not counted to its end."""
    return Problem(413, "too_many_events", f"the batch has over {max_events} events, the most allowed")
