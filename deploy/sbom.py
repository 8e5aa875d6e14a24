"""Prints what ThreatLog is made of, as CycloneDX 1.6 in JSON: `sbom.py`; every wheel of the lock, every jar of Kafka.

Source of the format: https://cyclonedx.org/docs/1.6/json/. Package URLs: https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from production_lock import production_part

ROOT = Path(__file__).parents[1]
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_JAR = re.compile(
    r"^(?P<group>[^\s:#]+):(?P<name>[^\s:]+):(?P<version>\S+) (?P<sha256>[0-9a-f]{64}) \d+$", re.MULTILINE
)


def main() -> None:
    """Prints the bill of materials of this checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    jars = (ROOT / "threatlog/embedded/kafka_jars.txt").read_text(encoding="utf-8")
    needed = {match["name"] for match in _PINNED.finditer(production_part(lock, project["dependencies"]))}
    bom = Bom(components=[*wheels(lock, needed), *kafka_jars(jars)])
    bom.metadata.component = product = Component(
        name=project["name"], version=project["version"], type=ComponentType.APPLICATION, bom_ref=project["name"]
    )
    bom.register_dependency(product, bom.components)
    sys.stdout.write(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n")


def wheels(lock: str, needed: set[str]) -> Iterator[Component]:
    """The Python packages of `lock`; those that production does not need are marked as optional."""
    for match in _PINNED.finditer(lock):
        purl = PackageURL("pypi", name=match["name"], version=match["version"])
        scope = ComponentScope.REQUIRED if match["name"] in needed else ComponentScope.OPTIONAL
        yield Component(name=match["name"], version=match["version"], purl=purl, bom_ref=purl.to_string(), scope=scope)


def kafka_jars(listed: str) -> Iterator[Component]:
    """The jars of the embedded Kafka, with their hashes; a deployment brings a Kafka of its own."""
    for match in _JAR.finditer(listed):
        purl = PackageURL("maven", match["group"], match["name"], match["version"])
        yield Component(
            name=match["name"],
            group=match["group"],
            version=match["version"],
            purl=purl,
            bom_ref=purl.to_string(),
            scope=ComponentScope.OPTIONAL,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=match["sha256"])],
            properties=[Property(name="threatlog:part", value="embedded Kafka")],
        )


if __name__ == "__main__":
    main()
