"""Reads the attributes of the events of a slice of time, a few at a time, so that others have their turn meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from query_api.fields_sql import attributes_within
from query_api.filter_language.matching import attributes_of, without_nul
from query_api.filter_language.values import NumberText
from query_api.search import SearchFilter
from query_api.snapshot import Row, StreamingSnapshot
from query_api.timeline import Window

# Larger attributes are not looked into: one of them would take the time of hundreds of others, and their memory.
MOST_BYTES: Final = 64 * 1024
_PORTION_ROWS: Final = 256
# About a millisecond: other requests wait no longer for their turn.
_TURN_BYTES: Final = 32 * 1024

_decode: Final = msgspec.json.Decoder(float_hook=NumberText).decode
# Which the other decoder would take also where it stands alone.
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
# A number that decoding would write otherwise than the sender.
_NEGATIVE_ZERO: Final = re.compile(r"(?<![\d.eE])-0(?![\d.eE])")


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One event. `attributes` are decoded, numbers as they were written; None where it has none.

    `is_unread`: they are too large, or no JSON that can be read.
    """

    severity: int
    source: str
    attributes: object
    is_unread: bool


async def events_seen(
    snapshot: StreamingSnapshot, wanted: SearchFilter, windows: Sequence[Window]
) -> AsyncGenerator[Seen]:
    """The wanted events of these windows, in no order."""
    statement = attributes_within(wanted, windows, MOST_BYTES)
    async with aclosing(snapshot.portions(statement, _PORTION_ROWS)) as portions:
        async for rows in portions:
            size = 0
            for row in rows:
                yield _seen(row)
                size += len(row["attributes"] or "")
                if size > _TURN_BYTES:
                    size = 0
                    await asyncio.sleep(0)


def decoded(text: str) -> object:
    """The attributes of an event, as PostgreSQL reads them. Raises ValueError."""
    text = without_nul(text)
    try:
        if not ("-0" in text and _NEGATIVE_ZERO.search(text)):
            return _decode(text)
    except msgspec.ValidationError:
        pass  # An integer of thousands of digits.
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if _SURROGATE.search(text):
        raise ValueError("half a character may be in it")
    return attributes_of(text)


def _seen(row: Row) -> Seen:
    text = row["attributes"]
    if text is None:
        return Seen(row["severity"], row["source"], None, row["is_unread"])
    try:
        return Seen(row["severity"], row["source"], decoded(text), is_unread=False)
    except ValueError:
        return Seen(row["severity"], row["source"], None, is_unread=True)
