"""Whether a text matches a pattern, in time that grows with the text alone: by RE2, whatever a client has written.

Seen with google-re2 1.1: `\\uXXXX` is written `\\x{XXXX}`; a text of bytes spares it the places of characters; an
expression that needs more memory than it may is slower, not refused. Its own folding of letters goes beyond ASCII.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import re2

_CODE: Final = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
# Of one pattern; a filter has few.
_MAX_MEMORY_BYTES: Final = 4 << 20
_MOST_PATTERNS: Final = 128


def is_found(pattern: str, text: str) -> bool:
    """Whether the text has it somewhere."""
    return _compiled(pattern).search(text.encode("utf-8", "surrogatepass")) is not None


def is_found_folded(pattern: str, text: str) -> bool:
    """The same, with the text in small letters of ASCII; the pattern has no capitals."""
    # Of bytes only the letters of ASCII become small.
    return _compiled(pattern).search(text.encode("utf-8", "surrogatepass").lower()) is not None


def is_whole_folded(pattern: str, text: str) -> bool:
    """Whether it is the whole text, likewise."""
    return _compiled(pattern).fullmatch(text.encode("utf-8", "surrogatepass").lower()) is not None


@functools.lru_cache(maxsize=_MOST_PATTERNS)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    return re2.compile(_CODE.sub(r"\\x{\1\2}", pattern), options)
