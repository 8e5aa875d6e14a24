"""What readers may rely on: the tables and columns, the Redis keys and their members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

# PostgreSQL. The columns are in migrations/*.sql; these names are used in SQL text by writers and readers.
LOGS: Final = "logs"
CONSUMER_OFFSETS: Final = "consumer_offsets"
ROLLUP_MINUTE: Final = "log_rollup_minute"
ROLLUP_HOUR: Final = "log_rollup_hour"
ROLLUP_TOTAL: Final = "log_rollup_total"
COUNT_MINUTE: Final = "log_count_minute"  # by severity alone, as COUNT_HOUR
COUNT_HOUR: Final = "log_count_hour"
FOREIGN_IDS: Final = "log_foreign_ids"
WORD_FILTERS: Final = "log_word_filters"
DEAD_LETTERS: Final = "dead_letters"
OFFSET_GAPS: Final = "offset_gaps"
RETENTION_DROPS: Final = "retention_drops"  # the newest id changes whenever counts are lowered
EXPORTS: Final = "exports"
EXPORT_CHUNKS: Final = "export_chunks"
PROCESS_METRICS: Final = "process_metrics"
PROCESS_METRICS_FOLDED: Final = "process_metrics_folded"  # how much of a process its role's row counts already

# Redis holds only what can be rebuilt from PostgreSQL.
RECENT_EVENTS: Final = 1000  # newest by event time, kept overall and for each severity
MINUTE_COUNTS_KEPT_S: Final = 26 * 3600
MINUTE_COUNTS_AHEAD_S: Final = 26 * 3600  # minutes further ahead are in PostgreSQL alone
# Larger events stand in the recent lists as a stub; the reader fetches the row by (timestamp, id).
MAX_RECENT_MEMBER_BYTES: Final = 16 * 1024
# An event dated further ahead would sit on top of every recent list; it is found by a query instead.
MAX_RECENT_AHEAD_S: Final = 600

# `process_metrics.counters` of the stream application. Latency is from received to stored.
STORED_EVENTS: Final = "stored_events"
STORED_PER_SECOND: Final = "stored_per_second"
# Another shape of the histogram needs other names for all three: what is added up over processes must be of one kind.
LATENCY_SUM_MS: Final = "ingestion_latency_ms_sum"
LATENCY_COUNT: Final = "ingestion_latency_ms_count"
LATENCY_HISTOGRAM: Final = "ingestion_latency_ms_histogram"  # counts of LATENCY_BOUNDS_MS, and one above the last
# From 0.05 ms, faster than any answer, to a day, longer than an outage. Each bound is 1.15 times the one before: a
# percentile read from it is right to within 15 %.
LATENCY_BOUNDS_MS: Final = tuple(round(0.05 * 1.15**step, 5) for step in range(154))


# Numbers and lists of numbers, by name.
Counters = Mapping[str, object]


def combined(ours: Counters, theirs: Counters, sign: int = 1) -> Counters:
    """`ours` with `theirs` added, or taken off when `sign` is -1. What is neither number nor list is left out."""
    return {
        name: value
        for name in {**ours, **theirs}
        if (value := _combined(ours.get(name, 0), theirs.get(name, 0), sign)) is not None
    }


def _combined(ours: object, theirs: object, sign: int) -> object:
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return ours + sign * theirs
    our_counts, their_counts = ours or [], theirs or []
    if isinstance(our_counts, list) and isinstance(their_counts, list):
        return [a + sign * b for a, b in zip_longest(our_counts, their_counts, fillvalue=0)]
    return None


@dataclass(frozen=True, slots=True)
class RedisKeys:
    """Every Redis key that the stream application writes, under one prefix.

    counts:minute:<unix minute>  sorted set, member `<severity>|<source>`, score the absolute count of the minute
    counts:total                 sorted set, the same members, score the absolute count over all time
    recent:all, recent:sev:<n>   sorted sets, score the event's time in microseconds, member the event as JSON
    stored_until                 hash, Kafka partition -> microseconds: the lists hold everything appended before it
    rebuilding                   hash, a field for each rebuild under way; one that is gone was emptied meanwhile
    seeded                       present once counts and lists are whole; absent after Redis was emptied
    """

    prefix: str

    def minute_counts(self, unix_minute: int) -> str:
        return f"{self.minute_counts_prefix}{unix_minute}"

    @property
    def minute_counts_prefix(self) -> str:
        return f"{self.prefix}counts:minute:"

    @property
    def total_counts(self) -> str:
        return f"{self.prefix}counts:total"

    @property
    def recent(self) -> str:
        return f"{self.prefix}recent:all"

    def recent_of(self, severity_code: int) -> str:
        return f"{self.prefix}recent:sev:{severity_code}"

    @property
    def stored_until(self) -> str:
        return f"{self.prefix}stored_until"

    @property
    def seeded(self) -> str:
        return f"{self.prefix}seeded"

    @property
    def rebuilding(self) -> str:
        return f"{self.prefix}rebuilding"


def count_member(severity: str, source: str) -> str:
    """The member of a counter set: canonical severity, a bar, the source (which may hold bars itself)."""
    return f"{severity}|{source}"
