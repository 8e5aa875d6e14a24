"""The gateway alone on real Kafka: starts both and runs benchmarks/gateway.py's ways of sending."""

from __future__ import annotations

import argparse
from typing import Any

import uvloop

from benchmarks import gateway
from benchmarks.bench_stack import bench_stack
from benchmarks.section import Figure, Section


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    seconds = 3.0 if quick else 15.0
    with bench_stack(12) as stack:
        child = stack.start("gateway")
        arguments = argparse.Namespace(url=stack.url("gateway"), pid=child.pid, kafka_pid=stack.kafka.pid)
        results: list[dict[str, Any]] = []
        for way in gateway.runs(batch=1000, connections=64):
            uvloop.run(gateway.measure(way, arguments, 1.0))
            results.append(uvloop.run(gateway.measure(way, arguments, seconds)))
    batches, with_attributes, singles = results
    return Section(
        "Gateway: one process, sender beside it",
        (
            _batches("batches of 1,000", batches, asked=True),
            _batches("batches of 1,000, each with attributes", with_attributes, asked=False),
            Figure(
                "single events",
                f"{singles['requests_per_s']:,} requests/s, {singles['gateway_cpu_us_per_event']:.0f} us each,"
                f" p99 {singles['p99_ms']:.0f} ms",
                "5,000 requests/s",
                singles["requests_per_s"] >= 5000,
            ),
        ),
        f"{seconds:.0f} s each, all acknowledged by Kafka with acks=all; the sender has its bodies made beforehand.",
    )


def _batches(name: str, figures: dict[str, Any], *, asked: bool) -> Figure:
    cost = figures["gateway_cpu_us_per_event"]
    words = (
        f"{cost:.2f} us/event, {figures['events_per_s']:,} events/s"
        f" (Kafka {figures['kafka_cpu_us_per_event']:.2f} us/event)"
    )
    return Figure(name, words, "6 us/event" if asked else "", cost <= 6 if asked else None)
