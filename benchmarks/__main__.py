"""Runs the benchmarks one after the other and writes docs/benchmarks.md with the machine and the versions."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.section import Section

REPORT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
NAMES = {
    "stream": "benchmarks.backlog",
    "gateway": "benchmarks.gateway_run",
    "path": "benchmarks.path",
    "query": "benchmarks.query_run",
    "analyst": "benchmarks.analyst_run",
    "page": "benchmarks.page_run",
    "exports": "benchmarks.export_run",
    "tail": "benchmarks.tail_run",
    "connections": "benchmarks.connections",
}
VERSIONS = ("aiokafka", "asyncpg", "fastapi", "faust-streaming", "msgspec", "orjson", "redis", "uvicorn", "uvloop")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _stamp(name: str) -> str:
    now = datetime.now(UTC)
    return f"Measured on {now:%Y-%m-%d %H:%M} UTC after commit {_commit()}; again: `make bench ARGS={name}`."


def heading() -> str:
    """What was measured on what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`.",
            "",
            f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.platform()}; Python"
            f" {platform.python_version()}, Apache Kafka 4.4.0, PostgreSQL 18 (fsync on), Redis; {packages}.",
            "",
            "Everything of a section, the sender too, runs on these cores at once. The cores are shared with others:"
            " compare CPU per event and ratios, which hold from run to run; rates move by a third.",
            "",
        ]
    )


def merged(old: str, measured: dict[str, Section]) -> str:
    """The page with the measured sections in it; sections that were not measured now stay as they were."""
    kept = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=<!-- \w+ -->\n|\Z)", old, re.DOTALL))
    texts = kept | {name: section.markdown() + "\n" + _stamp(name) + "\n\n" for name, section in measured.items()}
    return heading() + "".join(f"<!-- {name} -->\n{texts[name]}" for name in NAMES if name in texts).rstrip() + "\n"


def main() -> None:
    """Runs what was named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help=f"of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--quick", action="store_true", help="small and short: to see that all of it works")
    parser.add_argument("--print", dest="only_print", action="store_true", help="do not write docs/benchmarks.md")
    arguments = parser.parse_args()
    sections: dict[str, Section] = {}
    for name in arguments.names or NAMES:
        print(f"measuring: {name}", flush=True)
        sections[name] = importlib.import_module(NAMES[name]).run(quick=arguments.quick)
        print(sections[name].markdown(), flush=True)
    if not arguments.only_print and not arguments.quick:
        REPORT.parent.mkdir(exist_ok=True)
        old = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
        REPORT.write_text(merged(old, sections), encoding="utf-8")
        print(f"wrote {REPORT}")
    missed = [f.name for section in sections.values() for f in section.figures if f.met is False]
    if missed:
        print("not met: " + "; ".join(missed))


if __name__ == "__main__":
    main()
