"""One example of every answer; a test holds them to the shapes that are really sent."""

from __future__ import annotations

from typing import Any, Final

_LAG_LINE: Final = {"events": 12, "as_of": "2026-11-24T11:00:02.120000Z", "stale": False}
_COMPLETE: Final = {"complete_until": "2026-11-24T11:00:01.940000Z", "incomplete_reason": None}

EVENT: Final[dict[str, Any]] = {
    "id": "019ab549-2e4b-8c3e-9f0a-5b1d2c3e4f50",
    "timestamp": "2026-11-24T10:15:30.123000Z",
    "severity": "HIGH",
    "source": "web-01.example.net",
    "message": "Failed password for root from 203.0.113.7 port 52144 ssh2",
    "ingested_at": "2026-11-24T10:15:30.201000Z",
    "attributes": {"user": "root", "client_ip": "203.0.113.7"},
}
CONTEXT: Final = {
    "before": [{**EVENT, "timestamp": "2026-11-24T10:15:29.118000Z", "message": "Connection from 203.0.113.7"}],
    "event": EVENT,
    "after": [],
    "scanned_since": None,
    "scanned_until": None,
    **_COMPLETE,
    "lag": _LAG_LINE,
}
EVENT_ANSWER: Final = {**EVENT, **_COMPLETE, "lag": _LAG_LINE}
PAGE: Final = {
    "cached": False,
    "age_ms": 0,
    "total": 2417,
    "count": 1,
    "logs": [EVENT],
    "next_cursor": "AYBvAKQSFshcAAZhA9anyxMBog1FZpd0Noed0T7Gyo9yAAAAAAAAJgEABmED1xupgdN6j9c",
    "scanned_until": None,
    **_COMPLETE,
    "total_complete_until": "2026-11-24T11:00:01.940000Z",
    "lag": _LAG_LINE,
}
RECENT: Final = {"count": 1, "logs": [EVENT], "served_from": "redis", **_COMPLETE, "lag": _LAG_LINE}
STATS: Final = {
    "cached": True,
    "age_ms": 412,
    "start_time": "2026-11-24T10:00:00Z",
    "end_time": "2026-11-24T11:00:00Z",
    "total": 60120,
    "by_severity": {"CRITICAL": 1202, "HIGH": 3607, "MEDIUM": 7214, "LOW": 12024, "INFO": 36073},
    "by_source": {"web-01.example.net": 41020, "fw-02.example.net": 18000},
    "other": {"sources": 11, "count": 1100},
    "scanned_until": None,
    **_COMPLETE,
    "lag": _LAG_LINE,
}
HISTOGRAM: Final = {
    "cached": False,
    "age_ms": 0,
    "start_time": "2026-11-24T10:00:00Z",
    "end_time": "2026-11-24T11:00:00Z",
    "interval_s": 1800,
    "by": "severity",
    "total": 60120,
    "intervals": [
        {
            "start": "2026-11-24T10:00:00Z",
            "count": 60120,
            "counts": {"INFO": 48097, "MEDIUM": 7214, "HIGH": 4809},
            "other": 0,
        }
    ],
    "scanned_until": None,
    **_COMPLETE,
    "lag": _LAG_LINE,
}
TOP: Final = {
    "cached": False,
    "age_ms": 0,
    "field": "attributes.client_ip",
    "values": [{"value": "203.0.113.7", "count": 1417}, {"value": "198.51.100.9", "count": 12}],
    "distinct": 2,
    "total": 1429,
    "is_exact": True,
    "forgotten": 0,
    "undercount_at_most": 0,
    "scanned_until": None,
    **_COMPLETE,
    "lag": _LAG_LINE,
}
FIELDS: Final = {
    "cached": False,
    "age_ms": 0,
    "start_time": "2026-11-24T10:00:00Z",
    "end_time": "2026-11-24T11:00:00Z",
    "fields": [
        {"name": "severity", "events": 60120, "types": ["string"]},
        {"name": "source", "events": 60120, "types": ["string"]},
        {"name": "attributes.client_ip", "events": 12417, "types": ["string"]},
        {"name": 'attributes.http."status code"', "events": 812, "types": ["string", "number"]},
    ],
    "distinct": 4,
    "total": 60120,
    "events": 41210,
    "unread": 0,
    "is_exact": True,
    "undercount_at_most": 0,
    "too_long": 0,
    "scanned_until": "2026-11-24T10:21:00Z",
    **_COMPLETE,
    "lag": _LAG_LINE,
}
FACETS: Final = {
    "cached": False,
    "age_ms": 0,
    "start_time": "2026-11-24T10:00:00Z",
    "end_time": "2026-11-24T11:00:00Z",
    "facets": [
        {
            "field": "severity",
            "events": 60120,
            "distinct": 5,
            "values": [{"value": "INFO", "events": 36073}, {"value": "LOW", "events": 12024}],
            "is_exact": True,
            "forgotten": 0,
            "undercount_at_most": 0,
            "scanned_until": None,
        },
        {
            "field": "attributes.client_ip",
            "events": 12417,
            "distinct": 311,
            "values": [{"value": "203.0.113.7", "events": 1417}, {"value": "198.51.100.9", "events": 512}],
            "is_exact": True,
            "forgotten": 0,
            "undercount_at_most": 0,
            "scanned_until": "2026-11-24T10:21:00Z",
        },
    ],
    "events": 41210,
    "unread": 0,
    "is_exact": True,
    "scanned_until": "2026-11-24T10:21:00Z",
    **_COMPLETE,
    "lag": _LAG_LINE,
}
FILTER: Final = 'severity:HIGH,CRITICAL "failed password" client_ip:203.0.113.0/24 -user:guest'
EXPLAIN: Final = {
    "query": 'severity:CRITICAL,HIGH "failed password" attributes.client_ip:203.0.113.0/24 -attributes.user:guest',
    "answered_from": "events",
    "events_in_range": 60120,
    "events_matching_at_most": 4809,
    "events_to_read": 58211,
    "expected_ms": 58,
    "budget_ms": 250,
    "may_be_partial": False,
    **_COMPLETE,
    "lag": _LAG_LINE,
}
METRICS: Final = {
    "ingestion_rate": 10012.4,
    "total_logs_ingested": 81240113,
    "total_queries": 20411,
    "avg_ingestion_latency_ms": 142.112,
    "p95_ingestion_latency_ms": 261.332,
    "p99_ingestion_latency_ms": 402.75,
    "avg_query_latency_ms": 3.41,
    "p95_query_latency_ms": 11.902,
    "cache_hit_ratio": 0.7113,
    "cache_hits": 14519,
    "cache_misses": 5892,
    "uptime_seconds": 86412.3,
    **_COMPLETE,
    "lag": _LAG_LINE,
}
LAG: Final = {
    "topic": "threatlog.events",
    "partitions": [
        {
            "partition": 0,
            "end_offset": 6770212,
            "next_offset": 6770200,
            "lag": 12,
            "oldest_unstored_age_s": 0.181,
            "stored_until": "2026-11-24T11:00:01.940000Z",
            "worker": {"name": "stream-host-1-4711", "alive": True},
            "seconds_to_catch_up": 5.5,
        }
    ],
    "total": {
        "lag": 12,
        "oldest_unstored_age_s": 0.181,
        "appended_per_second": 10004.1,
        "stored_per_second": 10006.3,
        "seconds_to_catch_up": 5.5,
    },
    "complete_until": "2026-11-24T11:00:01.940000Z",
    "as_of": "2026-11-24T11:00:02.120000Z",
    "stale": False,
    "detail": None,
}
HEALTH: Final = {"status": "healthy", "postgres": "connected", "redis": "connected"}
