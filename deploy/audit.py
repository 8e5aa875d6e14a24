"""Looks for known vulnerabilities in everything the lock pins: `audit.py`, with pip-audit; 1 where there is one.

A vulnerability may be waived in deploy/audit_waivers.txt until a date, with the reason. Where no database of
vulnerabilities can be reached nothing is known either way: that is said, and does not fail.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WAIVERS = ROOT / "deploy/audit_waivers.txt"
_WAIVER = re.compile(r"(?P<identifier>\S+) until (?P<until>\d{4}-\d\d-\d\d): (?P<reason>\S.*)")
_TIMEOUT_S = 300


class WaiverError(Exception):
    """A line of the waivers says nothing that is understood; the text says which line."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be printed, and whether the check fails."""

    lines: tuple[str, ...]
    failed: bool


def main() -> None:
    """Asks pip-audit and ends with 0, or with 1 for a vulnerability that is not waived."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--disable-pip"]
    command += ["--require-hashes", "--requirement", str(ROOT / "requirements.lock")]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        answer = json.loads(asked.stdout) if asked.stdout.strip() else {"dependencies": []}
    except (subprocess.TimeoutExpired, ValueError):
        answer = {"dependencies": []}
    verdict = judge(answer["dependencies"], waivers(WAIVERS.read_text(encoding="utf-8")), datetime.now(UTC).date())
    sys.stdout.write("".join(f"audit: {line}\n" for line in verdict.lines))
    sys.exit(1 if verdict.failed else 0)


def waivers(text: str) -> dict[str, date]:
    """Identifier -> last day of each waiver, a line each: `GHSA-... until 2027-01-31: why it does not concern us`."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            match = _WAIVER.fullmatch(line.strip())
            if match is None:
                raise WaiverError(f"deploy/audit_waivers.txt: not `IDENTIFIER until YYYY-MM-DD: REASON`: {line}")
            found[match["identifier"]] = date.fromisoformat(match["until"])
    return found


def judge(dependencies: Sequence[Mapping[str, Any]], waived: Mapping[str, date], today: date) -> Verdict:
    """The verdict on pip-audit's `dependencies`."""
    audited = [dependency for dependency in dependencies if "skip_reason" not in dependency]
    if not audited:
        return Verdict(("NOT AUDITED: no database of vulnerabilities could be reached from here",), failed=False)
    lines: list[str] = []
    failed = False
    for dependency, identifiers, fixed in _vulnerabilities(audited):
        until = max((waived[name] for name in identifiers if name in waived), default=None)
        accepted = until is not None and today <= until
        failed = failed or not accepted
        state = f"waived until {until}" if accepted else "its waiver has ended" if until else "not waived"
        lines.append(f"{dependency}: {identifiers[0]}, fixed in {fixed or 'no version yet'}; {state}")
    unknown = len(dependencies) - len(audited)
    lines.append(f"{len(audited)} packages audited" + (f", {unknown} unknown to the database" if unknown else ""))
    return Verdict(tuple(lines), failed)


def _vulnerabilities(audited: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str], str]]:
    for dependency in audited:
        for vulnerability in dependency.get("vulns", ()):
            identifiers = [vulnerability["id"], *vulnerability.get("aliases", ())]
            yield f"{dependency['name']} {dependency['version']}", identifiers, ", ".join(vulnerability["fix_versions"])


if __name__ == "__main__":
    main()
