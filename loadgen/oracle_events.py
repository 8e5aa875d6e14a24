"""Events whose content follows from their number: what is stored is compared without keeping what was sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from loadgen.encode import rfc3339

SEVERITIES: Final = ("INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")
# One event in so many cannot be stored: over HTTP it is refused, straight to Kafka it becomes a dead letter.
ONE_BAD_IN: Final = 100


@dataclass(frozen=True, slots=True)
class Issued:
    """One event: `number` in the run, `sequence` of its producer, its time in Unix milliseconds."""

    run: str
    number: int
    producer: int
    sequence: int
    unix_ms: int
    kind: str

    @property
    def bad(self) -> bool:
        """Whether it cannot be stored."""
        return self._digest()[0] * 256 + self._digest()[1] < 65536 // ONE_BAD_IN

    @property
    def identifier(self) -> str:
        """A UUID made of run and number."""
        return str(UUID(bytes=self._digest()[:16], version=4))

    @property
    def source(self) -> str:
        """One for each producer of the run."""
        return source_of(self.run, self.producer)

    @property
    def severity(self) -> str:
        """The canonical one."""
        return SEVERITIES[self._digest()[2] % len(SEVERITIES)]

    @property
    def message(self) -> str:
        """Begins with the number; what follows differs from event to event, also in length and script."""
        filler = self._digest().hex() * (1 + self._digest()[3] % 4)
        return f"{self.number} {self.sequence} žluťoučký 漢 {filler}"

    @property
    def attributes(self) -> str:
        """As JSON text, stored as it is sent."""
        return json.dumps({"producer": self.producer, "seq": self.sequence, "big": 2**60 + self.number})

    def body(self) -> bytes:
        """The JSON object that is sent."""
        fields: dict[str, object] = {
            "id": self.identifier,
            "timestamp": rfc3339(self.unix_ms),
            "severity": "LOUD" if self.bad else self.severity,
            "source": self.source,
            "message": self.message,
        }
        text = json.dumps(fields, ensure_ascii=False)
        return f'{text[:-1]}, "attributes": {self.attributes}}}'.encode()

    def content_hash(self) -> bytes:
        """Of all that is stored."""
        parts = (self.identifier, str(self.unix_ms), self.severity, self.source, self.message, self.attributes)
        return content_hash(parts)

    def _digest(self) -> bytes:
        return hashlib.sha256(f"{self.run} {self.number}".encode()).digest()


def source_of(run: str, producer: int) -> str:
    """The name of a producer's source."""
    return f"ledger-{run}-{producer:03}"


def content_hash(parts: Sequence[str]) -> bytes:
    """Id, Unix milliseconds, severity, source, message, attributes, each as text."""
    return hashlib.sha256("\0".join(parts).encode()).digest()
