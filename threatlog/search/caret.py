"""Points at the character of a filter that is wrong."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len

from threatlog.search.rendering import harmless

_AROUND: Final = 30


def pointed(query: str, position: int) -> str:
    """Two lines: the filter, or what of a long one stands around the character, and a caret under it."""
    start = max(position - _AROUND, 0) if len(query) > 2 * _AROUND else 0
    end = position + _AROUND if len(query) > 2 * _AROUND else len(query)
    before, after = harmless(query[start:position]), harmless(query[position:end])
    head = "…" if start else ""
    tail = "…" if end < len(query) else ""
    return f"  {head}{before}{after}{tail}\n  {' ' * cell_len(head + before)}^"
