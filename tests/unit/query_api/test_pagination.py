"""The cursor: what it says comes back, and nothing else is taken for one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import EARLIEST, LATEST, unix_us
from query_api.pagination import BadCursorError, decode_cursor, encode_cursor
from query_api.search import Cursor
from tests.unit.query_api.builders import NOON, search_filter

CURSOR = Cursor(NOON, UUID(int=7), 3, 5)
MOMENTS = st.integers(0, 3_599_999_999).map(lambda us: NOON + timedelta(microseconds=us))


@given(
    MOMENTS,
    st.uuids(),
    st.integers(0, 2**53),
    st.none() | st.integers(unix_us(EARLIEST), unix_us(LATEST)),
    st.tuples(st.lists(st.integers(0, 4), unique=True).map(tuple), st.none() | st.text()),
)
def test_what_is_encoded_comes_back(
    ts: object, identifier: UUID, total: int, until_us: int | None, narrowed: tuple[tuple[int, ...], str | None]
) -> None:
    wanted = search_filter(severities=narrowed[0], source=narrowed[1])
    cursor = Cursor(ts, identifier, total, until_us)  # type: ignore[arg-type] # A mapped strategy is untyped.
    assert decode_cursor(encode_cursor(cursor, wanted), wanted) == cursor


@given(st.text(max_size=300))
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(text, search_filter())


def test_every_changed_byte_is_noticed() -> None:
    packed = base64.urlsafe_b64decode(encode_cursor(CURSOR, search_filter()) + "==")
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 0x41
        with pytest.raises(BadCursorError):
            decode_cursor(base64.urlsafe_b64encode(bytes(damaged)).decode().rstrip("="), search_filter())


@pytest.mark.parametrize(
    "changed",
    [{"start": NOON - timedelta(seconds=1)}, {"end": NOON + timedelta(hours=2)}, {"severities": (1,)}, {"source": "x"}],
)
def test_it_belongs_to_one_query(changed: dict[str, object]) -> None:
    with pytest.raises(BadCursorError, match="belongs to a query"):
        decode_cursor(encode_cursor(CURSOR, search_filter()), search_filter(**changed))


def test_it_needs_no_escaping_in_a_query_string() -> None:
    text = encode_cursor(CURSOR, search_filter())
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(Cursor(NOON, UUID(int=7), 3, 2**62), id="complete until no moment"),
        pytest.param(Cursor(NOON, UUID(int=7), 3, -(2**62)), id="complete until none before"),
        pytest.param(Cursor(NOON, UUID(int=7), 2**53 + 1, 5), id="more than can be"),
        pytest.param(Cursor(NOON, UUID(int=7), -2, 5), id="fewer than none"),
        pytest.param(Cursor(NOON + timedelta(hours=1), UUID(int=7), 3, 5), id="at the end of the range"),
        pytest.param(Cursor(NOON - timedelta(microseconds=1), UUID(int=7), 3, 5), id="before the range"),
        pytest.param(Cursor(datetime.max.replace(tzinfo=UTC), UUID(int=7), 3, 5), id="at the end of time"),
    ],
)
def test_a_cursor_that_no_answer_can_have_given_is_refused(forged: Cursor) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(encode_cursor(forged, search_filter()), search_filter())
