"""A publisher that keeps its records in memory."""

from __future__ import annotations

from collections.abc import Sequence

from ingest_gateway.publishing import KafkaState, PublishUnavailableError, Receipt, RecordHeaders


class MemoryPublisher:
    """An EventPublisher whose `log` holds each partition's records as (value, headers)."""

    def __init__(self, partitions: int = 2) -> None:
        self.log: list[list[tuple[bytes, list[tuple[str, bytes]]]]] = [[] for _ in range(partitions)]
        self.trouble: PublishUnavailableError | None = None
        self._next = 0

    @property
    def values(self) -> list[bytes]:
        """Every record value, partition by partition."""
        return [value for partition in self.log for value, _headers in partition]

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:
        """Appends them to the next partition."""
        if self.trouble is not None:
            raise self.trouble
        if not values:
            return []
        partition = self._next % len(self.log)
        self._next += 1
        offset = len(self.log[partition])
        self.log[partition].extend((value, list(headers)) for value in values)
        return [Receipt(partition, offset, len(values))]

    def state(self) -> KafkaState:
        """Connected unless trouble was set."""
        return KafkaState(True) if self.trouble is None else KafkaState(False, self.trouble.detail)

    async def close(self, timeout_s: float) -> None:  # noqa: ARG002 - nothing to wait for
        """Refuses from now on."""
        self.trouble = PublishUnavailableError("stopping", "this gateway is stopping")
