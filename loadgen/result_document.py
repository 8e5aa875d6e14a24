"""The result of a run as one JSON document, for benchmarks and for comparing runs."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict

import msgspec

from loadgen.run import RunResult
from loadgen.settings import RunSettings


def result_document(result: RunResult, settings: RunSettings) -> bytes:
    """Indented JSON: what was asked, on what machine, every figure, the verdict and a line for each second."""
    plan, verdict = settings.plan, result.verdict
    document = {
        "run": result.identity.name,
        "started_at": result.started_at,
        "asked": {
            **asdict(plan),
            **{name: value for name, value in asdict(settings.target).items() if name != "api_key"},
            "seed": settings.seed,
            "own_sources": settings.own_sources,
        },
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "sent_events": result.sent_events,
        "unsent_events": result.unsent_events,
        "schedule_held": result.schedule_held(plan),
        "cpu_s": round(result.cpu_s, 3),
        "cpu_us_per_event": round(result.cpu_s * 1e6 / result.sent_events, 3) if result.sent_events else None,
        "failed_probes": result.failed_probes,
        "skipped_probes": result.skipped_probes,
        **result.report.figures(),
        "verification": {**asdict(verdict), "exit_code": verdict.exit_code, "words": verdict.lines()},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
