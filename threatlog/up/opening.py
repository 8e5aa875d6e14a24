"""What to open and what to type once everything runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from threatlog.embedded.ports import LOOPBACK
from threatlog.up.plan import Ports

SAMPLE_EVENT: Mapping[str, str] = {
    "severity": "HIGH",
    "source": "web-1",
    "message": "Failed password for root from 203.0.113.7 port 52811 ssh2",
}


def curl_lines(ports: Ports, now: datetime) -> tuple[str, str, str]:
    """Three lines for a shell: send an event, find it, see how far everything is stored. `now` is aware."""
    gateway, query = f"http://{LOOPBACK}:{ports.gateway}", f"http://{LOOPBACK}:{ports.query}"
    start, end = (_rfc3339(now + timedelta(days=days)) for days in (-1, 1))
    return (
        f"curl -s {gateway}/api/v1/logs/ingest -H 'Content-Type: application/json' -d '{json.dumps(SAMPLE_EVENT)}'",
        f"curl -s '{query}/api/v1/logs/query?start_time={start}&end_time={end}&severity=CRITICAL,HIGH&limit=5'",
        f"curl -s {query}/api/v1/lag",
    )


def opening(ports: Ports, data_dir: Path, environment_file: Path, now: datetime) -> str:
    """The text to print."""
    lines = (
        "",
        f"Gateway      http://{LOOPBACK}:{ports.gateway}/docs",
        f"Query API    http://{LOOPBACK}:{ports.query}/docs",
        f"Metrics      http://{LOOPBACK}:{ports.stream[0]}/metrics (stream application)",
        f"Data, logs   {data_dir}",
        f"Commands     . {shlex.quote(str(environment_file))}   lets `threatlog lag` and the others find these servers",
        "",
        *curl_lines(ports, now),
        "",
        "Ctrl-C stops everything; the data stays.",
    )
    return "\n".join(lines)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z")
