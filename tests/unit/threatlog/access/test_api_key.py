"""An API key as text."""

from __future__ import annotations

import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatlog.access.api_key import MalformedKeyError, make_key, parse_key


def test_a_key_is_taken_apart_into_what_was_stored_of_it() -> None:
    new = make_key(secrets.token_bytes)
    parsed = parse_key(new.text)
    assert parsed.key_id == new.key_id
    assert parsed.matches(new.secret_hash)


def test_a_key_has_the_form_that_scanners_look_for() -> None:
    assert re.fullmatch(r"tlk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", make_key(secrets.token_bytes).text)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff"])
def test_the_least_and_the_greatest_random_bytes_make_keys_of_the_same_length(fill: bytes) -> None:
    new = make_key(lambda size: fill * size)
    assert len(new.text) == len("tlk_") + 12 + 1 + 43 + 6
    assert parse_key(new.text).key_id == new.key_id


def test_what_is_kept_and_shown_of_a_key_does_not_hold_it() -> None:
    new = make_key(secrets.token_bytes)
    secret = new.text.split("_")[2]
    assert secret not in repr(new)
    assert secret not in repr(parse_key(new.text))
    assert secret.encode() not in new.secret_hash


@given(st.integers(0, 65), st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"))
def test_any_one_wrong_character_is_found_without_asking_anyone(place: int, char: str) -> None:
    text = make_key(lambda size: bytes(range(size))).text
    wrong = text[:place] + char + text[place + 1 :]
    if wrong != text:
        with pytest.raises(MalformedKeyError):
            parse_key(wrong)


@given(st.text(max_size=80))
def test_what_is_no_key_is_told_so_without_being_repeated(text: str) -> None:
    with pytest.raises(MalformedKeyError) as caught:
        parse_key(f"secret {text}")
    assert "secret " + text not in str(caught.value)
