"""Prints threatlog/embedded/kafka_jars.txt anew for another version of Kafka: `pin_kafka_jars.py KAFKA_VERSION`.

Look at what changes before you keep it: what was downloaded here is what every machine will ask for.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jgo

# Binds Kafka's logging to its log4j; without it the server says nothing, not even why it ends. Resolved by itself:
# together, with jgo 3.2.0, log4j's own management of versions replaces kafka-clients by 3.9.1.
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
_HEAD = """\
# The jars of Apache Kafka in the order of the class path: group:artifact:version, SHA-256, bytes.
# Made by deploy/pin_kafka_jars.py.
"""


def main() -> None:
    """Resolves, downloads and prints one line a jar."""
    kafka = _lines(f"org.apache.kafka:kafka_2.13:{sys.argv[1]}")
    binding = (line for line in _lines(_LOG_BINDING) if line.startswith(_LOG_BINDING))
    sys.stdout.write(_HEAD + "".join((*kafka, *binding)))


def _lines(artifact: str) -> Iterator[str]:
    environment = jgo.build(artifact, update=True)
    lock = tomllib.loads((Path(environment.path) / "jgo.lock.toml").read_text(encoding="utf-8"))
    files = {jar.name: (place, jar) for place, jar in enumerate(map(Path, environment.all_jars))}
    locked = {f"{one['artifactId']}-{one['version']}.jar": one for one in lock["dependencies"]}
    for name in sorted(files, key=lambda name: files[name][0]):
        one = locked[name]
        coordinates = f"{one['groupId']}:{one['artifactId']}:{one['version']}"
        yield f"{coordinates} {one['sha256']} {files[name][1].stat().st_size}\n"


if __name__ == "__main__":
    main()
