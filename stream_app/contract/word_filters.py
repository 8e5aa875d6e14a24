"""Which words the blocks of stored events hold: the hash of a word, and how `log_word_filters` keeps them.

A Bloom filter for each block of neighbouring events, as in Bloom, "Space/time trade-offs in hash coding with allowable
errors" (1970). The filters of the blocks of one row are kept in slices, as in Goodwin et al., "BitFunnel" (2017): all
blocks' bits of one position lie side by side, so that a look at PROBES places asks all blocks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

# A word is a run of letters, digits and underscores; beyond ASCII everything is a letter. Here each byte of a word is
# itself, capitals of ASCII as small letters, and any other byte is 0.
FOLDED: Final = bytes(
    code + 32
    if chr(code).isascii() and chr(code).isupper()
    else code
    if code >= 0x80 or chr(code).isalnum() or chr(code) == "_"
    else 0
    for code in range(256)
)
# Of bytes; a longer one may be cut where it is hashed, so it is not asked for.
LONGEST_WORD: Final = 255
# Four words with a dot between each two are kept as one as well, at each place: so an address is found by itself.
DOTTED: Final = 4
PROBES: Final = 6
# At least so many places for each word of a block: then at most 0.06 % of the blocks are visited in vain, and of the
# 2,000 blocks of a day with a million events mostly none. Each costs two milliseconds.
PLACES_PER_WORD: Final = 18
FEWEST_PLACES: Final = 64

# Odd: arithmetic is modulo 2**64, and what multiplies has an inverse there.
MULTIPLIER: Final = 0x9E3779B97F4A7C15
MIXER: Final = 0xD6E8FEB86659FD93
# Words of attributes are others than those of messages.
ATTRIBUTES: Final = 0xA0761D6478BD642F
MESSAGES: Final = 0
_MASK: Final = (1 << 64) - 1
_bounds: Final = Struct("<qq")


def word_hash(word: bytes, part: int) -> int:
    """64 bits of a folded word of MESSAGES or ATTRIBUTES: the sum of byte * MULTIPLIER**place, mixed."""
    total = 0
    for byte in reversed(word):
        total = (total * MULTIPLIER + byte) & _MASK
    return _mixed(total ^ part)


def dotted_hash(hashes: Sequence[int]) -> int:
    """64 bits of words in a row."""
    total = 0
    for number in hashes:
        total = (total * MULTIPLIER + number) & _MASK
    return _mixed(total)


def _mixed(number: int) -> int:
    number ^= number >> 32
    number = number * MIXER & _MASK
    return number ^ (number >> 29)


def places_of(number: int) -> tuple[int, ...]:
    """PROBES places of a hash, each modulo the places of a filter, of which there are always a power of two."""
    first, step = number >> 32, number & 0xFFFF_FFFF | 1
    return tuple(first + probe * step for probe in range(PROBES))


def packed_bounds(bounds: Sequence[tuple[int, int]]) -> bytes:
    """First and last event of each block, in microseconds since 1970."""
    return b"".join(_bounds.pack(*pair) for pair in bounds)


def unpacked_bounds(packed: bytes) -> list[tuple[int, int]]:
    """What was packed; block i has bit i of a slice, counted from the lowest bit of its first byte."""
    return list(_bounds.iter_unpack(packed))


def slice_bytes(blocks: int) -> int:
    """Bytes that the bits of one place take."""
    return -(-blocks // 8)
