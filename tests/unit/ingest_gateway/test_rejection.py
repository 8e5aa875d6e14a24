"""Codes and words of refused events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import (
    MAX_DETAIL_CHARS,
    REJECTION_CODES,
    REJECTION_STATUSES,
    RejectedEventError,
    decode_record,
    shortened,
)


def test_what_a_refusal_repeats_is_bounded_printable_and_keeps_what_is_allowed() -> None:
    with pytest.raises(RejectedEventError) as refusal:
        decode_record(b'{"severity":"LOW","source":"s","message":"m","a\\u0000' + b"\\u0007x" * 5000 + b'":1}')

    detail = refusal.value.detail
    assert len(detail) == MAX_DETAIL_CHARS
    assert detail.isprintable()
    assert r"field `a\x00\x07x" in detail
    assert detail.endswith("put further fields into `attributes`")


@given(st.text())
def test_any_words_become_bounded_and_printable(text: str) -> None:
    short = shortened(text * 20)

    assert len(short) <= MAX_DETAIL_CHARS
    assert short.isprintable()


def test_the_detail_of_a_leap_second_says_so() -> None:
    with pytest.raises(RejectedEventError, match="no leap second"):
        decode_record(b'{"severity":"LOW","source":"s","message":"m","timestamp":"2016-12-31T23:59:60Z"}')


def test_each_code_has_a_status_and_only_what_is_too_large_is_413() -> None:
    assert tuple(REJECTION_STATUSES) == REJECTION_CODES
    assert {code for code, status in REJECTION_STATUSES.items() if status == 413} == {
        code for code in REJECTION_CODES if code.endswith("_too_large")
    }
