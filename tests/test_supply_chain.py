"""What ThreatLog is made of is listed completely, and what is known to be vulnerable in it does not pass."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from datetime import date
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.source_tree import ROOT

PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)
JAR = re.compile(r"^([^#:\n]+):([^:\n]+):(\S+) ", re.MULTILINE)
TODAY = date(2026, 11, 25)
SOUND = {"name": "click", "version": "8.3.0", "vulns": []}
UNKNOWN = {"name": "pip", "skip_reason": "not found"}


def vulnerable(identifier: str, *aliases: str) -> dict[str, Any]:
    """A package as pip-audit reports it."""
    vulnerability = {"id": identifier, "aliases": list(aliases), "fix_versions": ["2.0"], "description": ""}
    return {"name": "leaky", "version": "1.0", "vulns": [vulnerability]}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """deploy/audit.py, which is a script of no package."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / "deploy/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_bill_of_materials_is_valid_and_lists_every_wheel_and_every_jar() -> None:
    made = subprocess.run([sys.executable, "deploy/sbom.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.stdout) is None
    listed = {component["purl"] for component in json.loads(made.stdout)["components"]}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    wheels = {f"pkg:pypi/{name}@{version}" for name, version in PINNED.findall(lock)}
    jars = JAR.findall((ROOT / "threatlog/embedded/kafka_jars.txt").read_text(encoding="utf-8"))
    assert len(wheels) > 100
    assert len(jars) > 40
    assert listed == wheels | {f"pkg:maven/{group}/{name}@{version}" for group, name, version in jars}


@pytest.mark.parametrize(
    ("dependencies", "waived", "failed", "said"),
    [
        ([SOUND, UNKNOWN], {}, False, "1 packages audited, 1 unknown to the database"),
        ([SOUND, vulnerable("PYSEC-1")], {}, True, "leaky 1.0: PYSEC-1, fixed in 2.0; not waived"),
        ([vulnerable("PYSEC-1", "CVE-1")], {"CVE-1": TODAY}, False, "waived until 2026-11-25"),
        ([vulnerable("PYSEC-1")], {"PYSEC-1": date(2026, 11, 24)}, True, "its waiver has ended"),
        # Nothing could be asked: no verdict on ThreatLog, and nobody may take it for a good one.
        ([UNKNOWN], {}, False, "NOT AUDITED"),
        ([], {}, False, "NOT AUDITED"),
    ],
)
def test_an_audit_fails_for_what_is_vulnerable_and_not_waived(
    audit: ModuleType, dependencies: list[dict[str, Any]], waived: dict[str, date], failed: bool, said: str
) -> None:
    verdict = audit.judge(dependencies, waived, TODAY)
    assert verdict.failed == failed
    assert said in "\n".join(verdict.lines)


def test_the_waivers_are_understood_and_a_wrong_line_is_named(audit: ModuleType) -> None:
    audit.waivers((ROOT / "deploy/audit_waivers.txt").read_text(encoding="utf-8"))
    assert audit.waivers("# why\n\nCVE-1 until 2027-01-31: not reachable\n") == {"CVE-1": date(2027, 1, 31)}
    with pytest.raises(audit.WaiverError, match="CVE-1 forever"):
        audit.waivers("CVE-1 forever: trust me\n")
