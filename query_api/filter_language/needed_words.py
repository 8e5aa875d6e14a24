"""Which words an event must have to be what a filter asks for, as hashes: a block without them is not looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from query_api.filter_language.expressions import (
    And,
    Attribute,
    Equals,
    Expression,
    Field,
    Glob,
    Like,
    Or,
    Test,
    WordPattern,
    Words,
)
from query_api.filter_language.values import plain_number
from stream_app.contract import word_filters as kept

# A number in a path may be a place in a list, which is written nowhere.
_PLACE: Final = re.compile("-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Word:
    """This one, or these with dots between them."""

    hash: int


@dataclass(frozen=True, slots=True)
class All:
    """Each of these; none is any event."""

    parts: tuple[Needed, ...] = ()


@dataclass(frozen=True, slots=True)
class Any:
    """One of these at least."""

    parts: tuple[Needed, ...]


Needed = Word | All | Any
ANYTHING: Final = All()


def needed_words(expression: Expression) -> Needed:
    """What all events have that the filter selects, others perhaps too."""
    match expression:
        case And(parts):
            return _all(needed_words(part) for part in parts)
        case Or(parts):
            return _any(needed_words(part) for part in parts)
        case Words(text):
            return _words_of((text,), kept.MESSAGES)
        case WordPattern(glob):
            return _words_of(glob.pieces, kept.MESSAGES)
        case Field(Attribute(path), test):
            keys = (key for key in path if not _PLACE.fullmatch(key))
            return _all((*(_words_of((key,), kept.ATTRIBUTES) for key in keys), _of_value(test)))
        case _:
            return ANYTHING


def words_in(needed: Needed) -> Iterator[int]:
    """The hash of each word."""
    match needed:
        case Word(number):
            yield number
        case All(parts) | Any(parts):
            for part in parts:
                yield from words_in(part)


def _of_value(test: Test) -> Needed:
    match test:
        case Equals(values):
            return _any(map(_of_equal, values))
        case Like(Glob(pieces)):
            return _words_of(pieces, kept.ATTRIBUTES)
        case _:
            return ANYTHING


def _of_equal(value: str) -> Needed:
    """Of the text, or of the same number: before the point it is always written alike."""
    text = _words_of((value,), kept.ATTRIBUTES)
    found = plain_number(value)
    return text if found is None else _any((text, _words_of((str(int(abs(found))),), kept.ATTRIBUTES)))


def _words_of(pieces: tuple[str, ...], part: int) -> Needed:
    """Of text with stars between the pieces: a word beside a star goes on, and is not known whole."""
    needed: list[Needed] = []
    for index, piece in enumerate(pieces):
        folded = piece.encode("utf-8", "surrogatepass").translate(kept.FOLDED)
        words = [(found.start(), found[0]) for found in re.finditer(rb"[^\0]+", folded)]
        if words and index > 0 and words[0][0] == 0:
            del words[0]
        if words and index < len(pieces) - 1 and folded[-1]:
            del words[-1]
        needed += _hashes(piece.encode("utf-8", "surrogatepass"), words, part)
    return _all(needed)


def _hashes(piece: bytes, words: list[tuple[int, bytes]], part: int) -> Iterator[Word]:
    run: list[int] = []
    end = -1
    for start, word in words:
        is_joined = start == end + 1 and piece[end : end + 1] == b"."
        end = start + len(word)
        if len(word) > kept.LONGEST_WORD:
            run = []
            continue
        found = kept.word_hash(word, part)
        yield Word(found)
        run = [*run, found][-kept.DOTTED :] if is_joined else [found]
        if len(run) == kept.DOTTED:
            yield Word(kept.dotted_hash(run))


def _all(parts: Iterable[Needed]) -> Needed:
    flat: list[Needed] = []
    for part in parts:
        flat += part.parts if isinstance(part, All) else (part,)
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def _any(parts: Iterable[Needed]) -> Needed:
    found = tuple(parts)
    return found[0] if len(found) == 1 else ANYTHING if ANYTHING in found else Any(found)
