"""The depth of attributes, whatever text they hold and however many brackets."""

from __future__ import annotations

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
