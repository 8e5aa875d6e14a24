"""What the gateway's endpoints need of Kafka: publish records, and say how Kafka is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

# Names and values of a record's headers, as Kafka keeps them.
RecordHeaders = Sequence[tuple[str, bytes]]

# overloaded: Kafka acknowledges, but more comes than it takes, and nothing of the request was kept.
# kafka_unavailable: Kafka does not answer, refuses, or does not acknowledge. stopping: this process is about to end.
UnavailableCode = Literal["overloaded", "kafka_unavailable", "stopping"]
UNAVAILABLE_CODES: Final[tuple[UnavailableCode, ...]] = ("overloaded", "kafka_unavailable", "stopping")


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where `count` consecutive records of a request lie: `offset` is that of the first of them.

    `offset` is None when the broker confirmed a repeated batch without saying where it had put it.
    """

    partition: int
    offset: int | None
    count: int


class PublishUnavailableError(Exception):
    """The records were not acknowledged.

    `detail` says why, in words that any sender may read; what Kafka's client said stays in `__cause__`, for the log.
    `retry_after_s` says when to try again. Only when `may_arrive` is true were some of the records already on their
    way, so that they may be stored later.
    """

    def __init__(self, code: UnavailableCode, detail: str, *, retry_after_s: int = 1, may_arrive: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.may_arrive = may_arrive


@dataclass(frozen=True, slots=True)
class KafkaState:
    """Whether Kafka answers and acknowledges; `detail` says what is wrong when it does not."""

    connected: bool
    detail: str = ""


class EventPublisher(Protocol):
    """Takes records for the topic and returns when they are safe."""

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:
        """Returns when every replica that must have the records has them (acks=all).

        The receipts cover `values` in order. Returns or raises within the publisher's deadline. Raises
        PublishUnavailableError; then none, some or all of the records may be stored.
        """

    def state(self) -> KafkaState:
        """The last known state, without asking Kafka."""
