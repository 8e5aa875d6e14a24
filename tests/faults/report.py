"""Writes what `make faults` saw into docs/resiliency.md: for each row how often it ran, and with what result.

A night is long: each run is noted as it ends, and what passed is not run again until a service changes.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/resiliency.md"
BEGIN, END = "<!-- faults: written by `make faults` -->", "<!-- faults end -->"
_PARTS = ("aiokafka", "faust-streaming", "asyncpg", "redis", "uvicorn")
_SERVICES = ("ingest_gateway", "stream_app", "query_api", "threatlog", "requirements.lock")


def services_digest(root: Path = ROOT) -> str:
    """A name for the services as they are now: the same for the same files."""
    digest = hashlib.sha256()
    for part in _SERVICES:
        files = [root / part] if (root / part).is_file() else sorted((root / part).rglob("*.*"))
        for file in files:
            if file.suffix in (".py", ".sql", ".lock"):
                digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one test with one seed. `outcome` is `passed`, `failed` or `void`; `ended` in seconds since 1970."""

    row: str
    test: str
    outcome: str
    seen: list[str]
    ended: float


class Journal:
    """The runs of a state of the services so far, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(self) -> list[Run]:
        """All of them, in the order in which they ended."""
        if not self._path.exists():
            return []
        return [Run(**json.loads(line)) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def add(self, run: Run) -> None:
        """Notes one."""
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")

    def passed(self) -> set[str]:
        """The tests, each with its seed, that need not run again."""
        return {run.test for run in self.runs() if run.outcome == "passed"}


def seeds_of(text: str) -> range:
    """The seeds that `20`, from the first one, or `9-16` name. Raises ValueError."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)


def journal_of(intensity: str) -> Journal:
    """Of runs of this intensity, with the services as they are now."""
    return Journal(ROOT / "build" / f"faults-{intensity}-{services_digest()}.jsonl")


@dataclass(slots=True)
class Line:
    """All runs of one row: how each test ended at last, and how often one had to be tried again."""

    last: dict[str, Run] = field(default_factory=dict)
    again: int = 0

    def add(self, run: Run) -> None:
        """The next one to end."""
        self.again += run.test in self.last
        self.last[run.test] = run

    @property
    def result(self) -> str:
        """In a word or two."""
        failed, void = (sum(run.outcome == word for run in self.last.values()) for word in ("failed", "void"))
        if failed:
            return f"**{failed} failed**"
        if void:
            return f"{void} void"
        return f"held, {self.again} at a second attempt" if self.again else "held"

    @property
    def seen(self) -> str:
        """What the last run saw."""
        words = [word for run in self.last.values() for word in run.seen]
        return words[-1].replace("|", "/") if words else ""


def markdown(runs: Iterable[Run], seeds: range, intensity: str) -> str:
    """The section between the markers. `runs` are those so far of these seeds, at least one."""
    lines: dict[str, Line] = {}
    ended = []
    for run in runs:
        lines.setdefault(run.row, Line()).add(run)
        ended.append(datetime.fromtimestamp(run.ended, UTC))
    first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (min(ended), max(ended)))
    versions = ", ".join(f"{name} {version(name)}" for name in _PARTS)
    made = f"Ended between {first} and {last} UTC, seeds {seeds[0]} to {seeds[-1]}, {intensity} runs"
    head = f"{made}, Python {platform.python_version()}, {versions}."
    table = ["| row | runs | result | seen last |", "| --- | --- | --- | --- |"]
    for row, line in sorted(lines.items(), key=lambda item: (item[0][0], int(item[0][1:]))):
        table.append(f"| {row} | {len(line.last)} | {line.result} | {line.seen} |")
    return "\n".join([head, "", *table])


def write(section: str, page: Path = PAGE) -> None:
    """Into the page, in the place of what stood there."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{section}\n\n{END}{after}", encoding="utf-8")


class FaultReporter:
    """In the process that reports: notes every fault test, and writes the page at the end."""

    def __init__(self, seeds: range, intensity: str) -> None:
        self._seeds, self._intensity = seeds, intensity
        self._journal = journal_of(intensity)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One test's part."""
        found = dict(report.user_properties)
        if "row" not in found or not (report.when == "call" or report.failed):
            return
        void = "void" in found or (report.skipped and "VOID" in str(report.longrepr))
        if report.skipped and not void:
            return
        seen = [str(value) for name, value in report.user_properties if name == "seen"]
        outcome = "void" if void else report.outcome
        ended = datetime.now(UTC).timestamp()
        self._journal.add(Run(str(found["row"]), report.nodeid, outcome, seen, ended))

    def pytest_sessionfinish(self) -> None:
        """The end of the run."""
        if runs := self._journal.runs():
            write(markdown(runs, self._seeds, self._intensity))
