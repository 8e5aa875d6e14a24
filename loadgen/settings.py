"""What a run was asked for: values from the command line, checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from loadgen.drive import Plan
from loadgen.kafka_login import KafkaLogin


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go and how they are written."""

    kind: str = "http"
    gateway_url: str = "http://127.0.0.1:8080"
    kafka_bootstrap: str = "127.0.0.1:9092"
    topic: str = "threatlog.events"
    shape: str = "json"
    encoding: str = "identity"
    timeout_s: float = 10.0
    # Of the gateway and the query API; empty where they need none.
    api_key: str = field(default="", repr=False)
    kafka_login: KafkaLogin = field(default_factory=KafkaLogin)


@dataclass(frozen=True, slots=True)
class Checks:
    """What is asked of the query API while the run goes on and after it."""

    query_url: str = "http://127.0.0.1:8081"
    verify: bool = True
    freshness: bool = True
    probes_per_s: float = 5.0
    exact_up_to: int = 200_000
    deadline_s: float = 120.0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One `loadgen run`. `json_to` may be `-` for the standard output."""

    plan: Plan
    target: Target = field(default_factory=Target)
    checks: Checks = field(default_factory=Checks)
    seed: int = 7
    own_sources: bool = True
    attributes: bool = True
    json_to: str | None = None
    plot_to: Path | None = None
