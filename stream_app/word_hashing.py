"""Hashes of the words of many texts at once, one array operation per step: as contract/word_filters.py defines them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_app.contract.word_filters import ATTRIBUTES, DOTTED, FOLDED, LONGEST_WORD, MESSAGES, MIXER, MULTIPLIER

Hashes = NDArray[np.uint64]
_U64: Final = np.uint64
# Texts are hashed in stretches of this many bytes: what they need beside them then stays in the cache.
_STRETCH: Final = 1 << 15
_BETWEEN: Final = b"\n"
_COMMON: Final = DOTTED * (LONGEST_WORD + 1)
_DOT: Final = ord(".")
# Repeated words are mostly taken out by one look into a table of this size.
_TABLE: Final = 1 << 14


def _powers(base: int) -> Hashes:
    factors = np.full(_STRETCH + 2, base, _U64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


_POWERS: Final = _powers(MULTIPLIER)
_INVERSE_POWERS: Final = _powers(pow(MULTIPLIER, -1, 1 << 64))

# What follows the backslash in JSON; the letters would join the word behind them.
_ESCAPES: Final = [(rb"\\", b"  "), *((b"\\" + letter, b"  ") for letter in (b"b", b"f", b"n", b"r", b"t"))]
_ESCAPED_CHARACTER: Final = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})+")


def message_words(messages: Iterable[bytes]) -> Hashes:
    """Of all words in messages, and of dotted ones; each at least once."""
    return _distinct(_of_text(_BETWEEN.join(messages), MESSAGES))


def attribute_words(attributes: Iterable[bytes]) -> Hashes:
    """Of all words in JSON objects, names and values alike, as they are once escapes are read."""
    return _distinct(_of_text(_unescaped(_BETWEEN.join(attributes)), ATTRIBUTES))


def _unescaped(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    for escape, meant in _ESCAPES:
        text = text.replace(escape, meant)
    return _ESCAPED_CHARACTER.sub(_characters, text) if b"\\u" in text else text


def _characters(escapes: re.Match[bytes]) -> bytes:
    r"""Escapes in a row, since two of them may be one character. \u0000 is stored as another character."""
    units = bytes.fromhex(escapes[0].replace(rb"\u", b"").decode())
    return units.decode("utf-16-be", "replace").replace("\0", "\ufffd").encode()


def _of_text(text: bytes, part: int) -> Hashes:
    found = [_of_stretch(stretch, part) for stretch in _stretches(text)]
    return np.concatenate(found) if found else np.zeros(0, _U64)


def _stretches(text: bytes) -> Iterator[bytes]:
    """Pieces that end between two texts, or that have a part in common: each word is whole in one, and dotted ones."""
    start = 0
    while start < len(text):
        end = start + _STRETCH
        if end < len(text) and (near := text.rfind(_BETWEEN, start + _COMMON, end)) >= 0:
            end = near
        yield text[start:end]
        start = end if end >= len(text) or text[end : end + 1] == _BETWEEN else end - _COMMON


def _of_stretch(text: bytes, part: int) -> Hashes:
    folded = np.frombuffer(_BETWEEN + text + _BETWEEN, np.uint8)
    words = np.frombuffer(b"\0" + text.translate(FOLDED) + b"\0", np.uint8)
    inside = words != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    if not len(edges):
        return np.zeros(0, _U64)
    starts, ends = edges[0::2] + 1, edges[1::2] + 1
    values = words.astype(_U64)
    values *= _POWERS[: len(values)]
    # Bytes between words are 0, so from one start to the next only the word counts.
    hashes = np.add.reduceat(values, starts)
    hashes *= _INVERSE_POWERS[starts]
    hashes ^= _U64(part)
    hashes = _mixed(hashes)
    joined = (starts[1:] == ends[:-1] + 1) & (folded[ends[:-1]] == _DOT)
    first = np.flatnonzero(joined[:-2] & joined[1:-1] & joined[2:])
    return np.concatenate((hashes, _dotted(hashes, first))) if len(first) else hashes


def _dotted(hashes: Hashes, first: NDArray[np.intp]) -> Hashes:
    total = hashes[first]
    for place in range(1, DOTTED):
        total = total * _U64(MULTIPLIER) + hashes[first + place]
    return _mixed(total)


def _mixed(hashes: Hashes) -> Hashes:
    hashes = hashes ^ (hashes >> _U64(32))
    hashes *= _U64(MIXER)
    hashes ^= hashes >> _U64(29)
    return hashes


def _distinct(hashes: Hashes) -> Hashes:
    """With few repetitions left: sorting them out wholly would cost more than they do."""
    table = np.zeros(_TABLE, _U64)
    places = (hashes & _U64(_TABLE - 1)).astype(np.intp)
    table[places] = hashes
    return np.concatenate((table[table != 0], hashes[table[places] != hashes]))
