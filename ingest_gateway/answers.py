"""What the two ingestion routes answer with 201."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from ingest_gateway.acceptance import Rejection
from ingest_gateway.publishing import Receipt


class BatchAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a batch is answered: `ids` in order with null for a refused item, `errors` with an entry for each null."""

    accepted: int
    rejected: int
    ids: Sequence[UUID | str | None]
    errors: Sequence[Rejection]
    receipts: Sequence[Receipt]


class SinglePlace(msgspec.Struct, frozen=True, gc=False):
    """Where a single event lies in Kafka."""

    partition: int
    offset: int | None


class SingleAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a single event is answered."""

    id: UUID | str
    status: str
    timestamp: datetime
    receipt: SinglePlace
