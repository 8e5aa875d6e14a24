"""Writes what `make faults` saw into docs/resiliency.md: for each row how often it ran, and with what result."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/resiliency.md"
BEGIN, END = "<!-- faults: written by `make faults` -->", "<!-- faults end -->"
_PARTS = ("aiokafka", "faust-streaming", "asyncpg", "redis", "uvicorn")


@dataclass(slots=True)
class Line:
    """All runs of one row."""

    passed: int = 0
    failed: int = 0
    void: int = 0
    seen: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        """In a word or two."""
        if self.failed:
            return f"**{self.failed} failed**"
        return f"{self.void} void" if self.void else "held"


@dataclass(slots=True)
class FaultReport:
    """Collects the results of a run of tests."""

    lines: dict[str, Line] = field(default_factory=dict)

    def add(self, row: str, outcome: str, seen: Iterable[str]) -> None:
        """One test; `outcome` is `passed`, `failed` or `void`."""
        line = self.lines.setdefault(row, Line())
        setattr(line, outcome, getattr(line, outcome) + 1)
        line.seen += seen

    def markdown(self, now: datetime, seeds: int, intensity: str) -> str:
        """The section between the markers."""
        versions = ", ".join(f"{name} {version(name)}" for name in _PARTS)
        made = f"{now:%Y-%m-%d %H:%M} UTC, {seeds} seeds, {intensity} runs"
        head = f"Last run: {made}, Python {platform.python_version()}, {versions}."
        table = ["| row | runs | result | seen last |", "| --- | --- | --- | --- |"]
        for row, line in sorted(self.lines.items(), key=lambda item: (item[0][0], int(item[0][1:]))):
            seen = line.seen[-1].replace("|", "/") if line.seen else ""
            table.append(f"| {row} | {line.passed + line.failed + line.void} | {line.result} | {seen} |")
        return "\n".join([head, "", *table])

    def write(self, seeds: int, intensity: str, page: Path = PAGE) -> None:
        """Into the page, in the place of what stood there."""
        text = page.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        section = self.markdown(datetime.now(UTC), seeds, intensity)
        page.write_text(f"{before}{BEGIN}\n\n{section}\n\n{END}{after}", encoding="utf-8")


class FaultReporter:
    """In the process that reports: collects every fault test, and writes the page at the end."""

    def __init__(self, seeds: int, intensity: str) -> None:
        self._seeds, self._intensity = seeds, intensity
        self._report = FaultReport()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One test's part."""
        found = dict(report.user_properties)
        if "row" not in found or not (report.when == "call" or report.failed):
            return
        void = "void" in found or (report.skipped and "VOID" in str(report.longrepr))
        if report.skipped and not void:
            return
        seen = [str(value) for name, value in report.user_properties if name == "seen"]
        self._report.add(str(found["row"]), "void" if void else report.outcome, seen)

    def pytest_sessionfinish(self) -> None:
        """The end of the run."""
        if self._report.lines:
            self._report.write(self._seeds, self._intensity)
