"""The result of a verification, and the words and exit codes it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

EXIT_OK: Final = 0
EXIT_BROKEN: Final = 1  # Something acknowledged is missing, or something is there that must not be.
EXIT_UNVERIFIED: Final = 3  # The query API could not be asked, or did not catch up in time.
EXIT_NOTHING_ACKED: Final = 4
_NAMED: Final = 5

EXACT: Final = "exact"
BY_CELLS: Final = "by cells"
SKIPPED: Final = "skipped"


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

    `method` is `exact` (each id), `by cells` (counts of each source in each slice of `cell_s` seconds, and each id in
    some of these) or `skipped`. `compared_by_id` events were read back one by one. `found_late` events were missing
    when `complete_until` had already passed their acknowledgement and turned up soon after: nothing is lost, but the
    answer had promised more than it held (or the clocks differ).
    """

    method: str = SKIPPED
    acked: int = 0
    unknown: int = 0
    stored: int = 0
    unknown_stored: int = 0
    waited_s: float = 0.0
    queries: int = 0
    failed_queries: int = 0
    compared_by_id: int = 0
    cell_s: int = 0
    cells: int = 0
    cells_by_id: int = 0
    incomplete: str = ""
    missing: Finding = field(default_factory=Finding)
    twice: Finding = field(default_factory=Finding)
    altered: Finding = field(default_factory=Finding)
    never_sent: Finding = field(default_factory=Finding)
    refused_but_stored: Finding = field(default_factory=Finding)
    miscounted: Finding = field(default_factory=Finding)
    found_late: Finding = field(default_factory=Finding)

    @property
    def named_faults(self) -> int:
        """How many events something is known of, besides those that are as they should be."""
        return sum(finding.count for finding, _ in self._faults()) + self.found_late.count

    @property
    def broken(self) -> bool:
        return any(finding.count for finding, _ in self._faults())

    @property
    def exit_code(self) -> int:
        if self.method == SKIPPED and not self.incomplete:
            return EXIT_OK
        if self.broken:
            return EXIT_BROKEN
        if self.incomplete:
            return EXIT_UNVERIFIED
        return EXIT_OK if self.acked else EXIT_NOTHING_ACKED

    def lines(self) -> list[str]:
        """The verdict in words, one line for each thing to know."""
        if self.method == SKIPPED:
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
            told.append(self._all_well())
        if self.unknown:
            told.append(f"Of {self.unknown:,} events without a final answer, {self.unknown_stored:,} are stored.")
        return told

    def _all_well(self) -> str:
        if not self.acked:
            return "Nothing was acknowledged, so there was nothing to look for."
        if self.method == EXACT:
            return f"All {self.acked:,} acknowledged events are there, none twice (each compared by its id)."
        slices = "second" if self.cell_s == 1 else "minute"
        return (
            f"For {self.acked:,} acknowledged events as many are there, in each {slices} of each source "
            f"({self.cells:,} counts); in {self.cells_by_id:,} of these, picked at random, each of "
            f"{self.compared_by_id:,} events was compared by its id."
        )

    def _faults(self) -> list[tuple[Finding, str]]:
        return [
            (self.missing, "were acknowledged and cannot be found"),
            (self.twice, "appear more than once"),
            (self.altered, "are stored with other content than was sent"),
            (self.never_sent, "bear this run's mark and were never sent"),
            (self.refused_but_stored, "were refused and are stored all the same"),
            (self.miscounted, "are counted too many or too few, though each event is listed once"),
        ]


def _names(finding: Finding) -> str:
    if not finding.first_ids:
        return ""
    more = ", …" if finding.count > len(finding.first_ids) else ""
    return f": {', '.join(finding.first_ids)}{more}"
