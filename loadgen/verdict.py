"""The result of a verification, and the words and exit codes it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

EXIT_OK: Final = 0
EXIT_BROKEN: Final = 1  # Something acknowledged is missing, or something is there that must not be.
EXIT_UNVERIFIED: Final = 3  # The query API could not be asked, or did not catch up in time.
EXIT_NOTHING_ACKED: Final = 4
_NAMED: Final = 5


@dataclass(slots=True)
class Finding:
    """One kind of fault: how many events, and the ids of the first few."""

    count: int = 0
    first_ids: list[str] = field(default_factory=list)

    def add(self, identifier: str | None, count: int = 1) -> None:
        self.count += count
        if identifier is not None and len(self.first_ids) < _NAMED:
            self.first_ids.append(identifier)


@dataclass(slots=True)
class Verdict:
    """What was found of what was acknowledged.

    `method` is `exact` (each id), `counts and sample` (the totals of the run's own sources, and single ids at random)
    or `skipped`. `found_late` events were missing when `complete_until` had already passed their acknowledgement and
    turned up soon after: nothing is lost, but the answer had promised more than it held (or the clocks differ).
    """

    method: str = "skipped"
    acked: int = 0
    unknown: int = 0
    stored: int = 0
    unknown_stored: int = 0
    waited_s: float = 0.0
    queries: int = 0
    incomplete: str = ""
    missing: Finding = field(default_factory=Finding)
    twice: Finding = field(default_factory=Finding)
    altered: Finding = field(default_factory=Finding)
    never_sent: Finding = field(default_factory=Finding)
    refused_but_stored: Finding = field(default_factory=Finding)
    found_late: Finding = field(default_factory=Finding)

    @property
    def broken(self) -> bool:
        return any(finding.count for finding, _ in self._faults())

    @property
    def exit_code(self) -> int:
        if self.method == "skipped" and not self.incomplete:
            return EXIT_OK
        if self.broken:
            return EXIT_BROKEN
        if self.incomplete:
            return EXIT_UNVERIFIED
        return EXIT_OK if self.acked else EXIT_NOTHING_ACKED

    def lines(self) -> list[str]:
        """The verdict in words, one line for each thing to know."""
        if self.method == "skipped":
            return [self.incomplete or "Not verified."]
        told = [
            f"{finding.count:,} events {what}{_names(finding)}" for finding, what in self._faults() if finding.count
        ]
        if self.incomplete:
            told.append(self.incomplete)
        if self.found_late.count:
            told.append(
                f"{self.found_late.count:,} events were found only after complete_until had passed their "
                f"acknowledgement{_names(self.found_late)}"
            )
        if not told:
            told.append(
                f"All {self.acked:,} acknowledged events are there, none twice ({self.method})."
                if self.acked
                else "Nothing was acknowledged, so there was nothing to look for."
            )
        if self.unknown:
            told.append(f"Of {self.unknown:,} events without a final answer, {self.unknown_stored:,} are stored.")
        return told

    def _faults(self) -> list[tuple[Finding, str]]:
        return [
            (self.missing, "were acknowledged and cannot be found"),
            (self.twice, "appear more than once"),
            (self.altered, "are stored with other content than was sent"),
            (self.never_sent, "bear this run's mark and were never sent"),
            (self.refused_but_stored, "were refused and are stored all the same"),
        ]


def _names(finding: Finding) -> str:
    if not finding.first_ids:
        return ""
    more = ", …" if finding.count > len(finding.first_ids) else ""
    return f": {', '.join(finding.first_ids)}{more}"
