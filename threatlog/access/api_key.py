"""An API key as text: `tlk_<id>_<secret><checksum>`, made, taken apart and hashed.

The form is that of GitHub's tokens (https://github.blog/engineering/behind-githubs-new-authentication-token-formats/):
a prefix that scanners for leaked secrets can look for, and a checksum, so that they, and we, tell a key from a typing
error without asking anyone. The secret has 256 random bits: SHA-256 of it can be stored without a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "tlk"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARS: Final = 12
_ID_BYTES: Final = 8
# 62 ** 43 > 2 ** 256, and 62 ** 6 > 2 ** 32.
_SECRET_CHARS: Final = 43
_SECRET_BYTES: Final = 32
CHECKSUM_CHARS: Final = 6
_FORM: Final = re.compile(
    rf"{PREFIX}_([0-9A-Za-z]{{{_ID_CHARS}}})_([0-9A-Za-z]{{{_SECRET_CHARS}}})([0-9A-Za-z]{{{CHECKSUM_CHARS}}})"
)


class MalformedKeyError(Exception):
    """The text is no key of ours; what it says holds nothing of the text."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is shown once and kept nowhere."""

    key_id: str
    text: str = field(repr=False)
    secret_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A well-formed key that somebody sent."""

    key_id: str
    secret_hash: bytes = field(repr=False)

    def matches(self, stored_hash: bytes) -> bool:
        """Whether it is the key whose hash is stored, in constant time."""
        return hmac.compare_digest(self.secret_hash, stored_hash)


def make_key(random_bytes: Callable[[int], bytes]) -> NewKey:
    """A new key from a source of secure randomness."""
    key_id = _digits(int.from_bytes(random_bytes(_ID_BYTES)), _ID_CHARS)
    secret = _digits(int.from_bytes(random_bytes(_SECRET_BYTES)), _SECRET_CHARS)
    return NewKey(key_id, f"{PREFIX}_{key_id}_{secret}{checksum(key_id, secret)}", _hashed(secret))


def parse_key(text: str) -> PresentedKey:
    """The key in `text`. Raises MalformedKeyError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise MalformedKeyError(f"this is no API key; one has the form {PREFIX}_<id>_<secret>")
    key_id, secret, digits = match.groups()
    if digits != checksum(key_id, secret):
        raise MalformedKeyError("the API key is mistyped or cut off: its checksum does not fit")
    return PresentedKey(key_id, _hashed(secret))


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def checksum(key_id: str, secret: str) -> str:
    """The digits that end a key: CRC-32 of what they follow, in base 62."""
    return _digits(zlib.crc32(f"{key_id}_{secret}".encode("ascii")), CHECKSUM_CHARS)


def _digits(number: int, width: int) -> str:
    """`number` in base 62, as many digits as `width`."""
    found = []
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        found.append(_DIGITS[digit])
    assert not number
    return "".join(reversed(found))
