"""The depth of attributes, whatever text they hold and however many brackets."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import EventLimits, RejectedEventError, checked_attributes

JSON_VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('a"\\\\[]{}'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\\\[]{}'), inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize("max_depth", [1, 3, 32])
@given(attributes=st.dictionaries(st.text('a"\\\\[]{}'), JSON_VALUES))
def test_attributes_as_deep_as_allowed_are_kept_and_deeper_ones_refused(
    max_depth: int, attributes: dict[str, object]
) -> None:
    raw = msgspec.Raw(orjson.dumps(attributes))
    limits = EventLimits(max_attributes_depth=max_depth)
    if depth_of(attributes) <= max_depth:
        assert checked_attributes(raw, limits) == raw
    else:
        with pytest.raises(RejectedEventError, match="deeper"):
            checked_attributes(raw, limits)


@pytest.mark.parametrize("filling", [b'"' + b'[\\"' * 16_000 + b'"', b"[[" * 12 + b"]]" * 12, b'"[",' * 12_000 + b"1"])
def test_many_brackets_of_attributes_are_not_walked_one_by_one(filling: bytes) -> None:
    content = b'{"a":[' + filling + b"]}"
    lines = 0

    def count(_frame: object, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        checked_attributes(msgspec.Raw(content), EventLimits())
    finally:
        sys.settrace(before)
    assert lines < 200


FLAT_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
PIECES = st.sampled_from(
    [b"1e400", b"-1e309", b"9" * 400, b"9" * 308, b"\xff", b"\xed\xa0\x80", b"\\ud800", b"01", b"NaN"]
)


@given(st.dictionaries(st.text(max_size=5), FLAT_VALUES, max_size=6), st.data())
def test_what_is_accepted_is_strict_json_that_every_reader_takes(attributes: dict[str, object], data: Any) -> None:
    # Not with orjson: it writes no integer of over 64 bits, and null for NaN.
    content = json.dumps(attributes, ensure_ascii=False).encode()
    if data.draw(st.booleans()):
        place = data.draw(st.integers(1, len(content) - 1))
        content = content[:place] + data.draw(PIECES) + content[place + data.draw(st.integers(0, 2)) :]
    try:
        kept = checked_attributes(msgspec.Raw(content), EventLimits())
    except RejectedEventError:
        return
    assert bytes(kept) == content
    assert isinstance(orjson.loads(content), dict)


@pytest.mark.parametrize("number", [b"1e400", b"-1e309", b"1.8e308", b"9" * 309, b"1" + b"0" * 309 + b"e0"])
def test_a_number_that_no_double_holds_is_refused_however_it_is_written(number: bytes) -> None:
    with pytest.raises(RejectedEventError, match="not strict JSON"):
        checked_attributes(msgspec.Raw(b'{"a":' + number + b"}"), EventLimits())


def test_a_short_flat_object_is_held_to_the_limit_on_bytes_and_depth_too() -> None:
    raw = msgspec.Raw(b'{"user":"root"}')
    assert checked_attributes(raw, EventLimits(max_attributes_bytes=15)) is raw
    with pytest.raises(RejectedEventError, match="at most 14"):
        checked_attributes(raw, EventLimits(max_attributes_bytes=14))
    with pytest.raises(RejectedEventError, match="deeper than 0"):
        checked_attributes(raw, EventLimits(max_attributes_depth=0))
