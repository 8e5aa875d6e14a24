"""SQL of the fields of events: their attributes, and how many there are where counts say it."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence

from query_api.scan_sql import found_within
from query_api.search import SearchFilter
from query_api.sql import counted
from query_api.statement import Arguments, Statement
from query_api.timeline import Window, pieces


def total(wanted: SearchFilter) -> Statement:
    """One row with the `total` of a filter of counts."""
    arguments = Arguments()
    cells = counted(arguments, wanted, pieces(wanted.start, wanted.end))
    return arguments.statement(f"SELECT coalesce(sum(n), 0)::bigint AS total FROM ({cells}) AS counted")


def attributes_within(wanted: SearchFilter, windows: Sequence[Window], most_bytes: int) -> Statement:
    """Rows (severity, source, attributes, is_unread) of the events of these windows, in no order.

    Larger attributes than `most_bytes` are null, and `is_unread` is true.
    """
    arguments = Arguments()
    found = found_within(arguments, wanted, windows, "severity, source, attributes::text AS attributes")
    is_large = f"octet_length(attributes) > {arguments.add(most_bytes)}"
    return arguments.statement(
        f"SELECT severity, source, CASE WHEN {is_large} THEN NULL ELSE attributes END AS attributes,"
        f" coalesce({is_large}, false) AS is_unread FROM {found}"
    )
