"""What to open and what to type once everything runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from threatlog.up.plan import Addresses

SAMPLE_EVENT: Mapping[str, str] = {
    "severity": "HIGH",
    "source": "web-1",
    "message": "Failed password for root from 203.0.113.7 port 52811 ssh2",
}


def curl_lines(at: Addresses, now: datetime) -> tuple[str, str, str]:
    """Three lines for a shell: send an event, find it, see how far everything is stored. `now` is aware."""
    ingest = shlex.quote(f"{at.gateway}/api/v1/logs/ingest")
    start, end = (_rfc3339(now + timedelta(days=days)) for days in (-1, 1))
    return (
        f"curl -s {ingest} -H 'Content-Type: application/json' -d '{json.dumps(SAMPLE_EVENT)}'",
        f"curl -s '{at.query}/api/v1/logs/query?start_time={start}&end_time={end}&severity=CRITICAL,HIGH&limit=5'",
        f"curl -s {shlex.quote(f'{at.query}/api/v1/lag')}",
    )


def opening(at: Addresses, data_dir: Path, environment_file: Path, now: datetime) -> str:
    """The text to print."""
    postgres = data_dir / "postgres"
    elsewhere = (f"PostgreSQL   {postgres.resolve()}, linked from {postgres}",) if postgres.is_symlink() else ()
    lines = (
        "",
        f"Gateway      {at.gateway}/docs",
        f"Query API    {at.query}/docs",
        f"Metrics      {at.stream}/metrics (stream application)",
        f"Data, logs   {data_dir}",
        *elsewhere,
        f"Commands     . {shlex.quote(str(environment_file))}   lets `threatlog lag` and the others find these servers",
        "",
        *curl_lines(at, now),
        "",
        "Ctrl-C stops everything; the data stays.",
    )
    return "\n".join(lines)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z")
