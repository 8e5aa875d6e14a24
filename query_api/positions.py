"""How far each Kafka partition is stored, as a reader sees it in a snapshot."""

from __future__ import annotations

from collections.abc import Mapping

# Kafka partition -> microseconds: every record of the partition appended before this time is stored.
StoredUntil = Mapping[int, int]
