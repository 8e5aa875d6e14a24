"""The records that wait for Kafka: first come, first served, bounded in bytes, cut into batches across requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest_gateway.publishing import PublishUnavailableError, Receipt, RecordHeaders

# What Kafka and aiokafka add to one record of ours, about: framing, headers, and the objects that hold it.
RECORD_OVERHEAD_BYTES = 200


class Batch(Protocol):
    """One Kafka batch being filled."""

    def extend(self, values: Sequence[bytes], start: int, headers: RecordHeaders) -> int:
        """Appends `values[start:]` while there is room and returns the index of the first that did not fit.

        The first record of a batch always fits.
        """


class PendingRequest:
    """One `publish` call: what is left to send, and the receipts of what was acknowledged."""

    __slots__ = ("answer", "headers", "receipts", "taken", "unacknowledged", "values")

    def __init__(self, values: Sequence[bytes], headers: RecordHeaders, answer: asyncio.Future[list[Receipt]]) -> None:
        self.values = values
        self.headers = headers
        self.answer = answer
        self.taken = 0
        self.unacknowledged = len(values)
        self.receipts: list[Receipt | None] = []

    def waiting_bytes(self) -> int:
        """Bytes of the records that are in no batch yet."""
        waiting = self.values[self.taken :] if self.taken else self.values
        return sum(map(len, waiting)) + len(waiting) * RECORD_OVERHEAD_BYTES

    def acknowledge(self, slot: int, receipt: Receipt) -> None:
        """Files the receipt of one part; the last one answers the request."""
        self.receipts[slot] = receipt
        self.unacknowledged -= receipt.count
        if self.unacknowledged == 0 and not self.answer.done():
            self.answer.set_result([filed for filed in self.receipts if filed is not None])

    def fail(self, error: PublishUnavailableError) -> None:
        """Answers the request with `error` unless it is already answered."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Part:
    """The `count` records of one request that lie side by side in one batch."""

    request: PendingRequest
    slot: int
    count: int


@dataclass(frozen=True, slots=True)
class FilledBatch:
    """What one batch carries: its parts in order, and its bytes before compression."""

    parts: tuple[Part, ...]
    size_bytes: int

    def acknowledge(self, partition: int, base_offset: int | None) -> None:
        """Hands each part its receipt."""
        offset = base_offset
        for part in self.parts:
            part.request.acknowledge(part.slot, Receipt(partition, offset, part.count))
            if offset is not None:
                offset += part.count

    def fail(self, error: PublishUnavailableError) -> None:
        """Fails every request that has a part in this batch."""
        for part in self.parts:
            part.request.fail(error)


class RequestQueue:
    """Requests in order of arrival, and the sum of all bytes that Kafka has not acknowledged."""

    def __init__(self, max_unacknowledged_bytes: int) -> None:
        self._max_bytes = max_unacknowledged_bytes
        self._requests: deque[PendingRequest] = deque()
        self.unacknowledged_bytes = 0
        self.waiting_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, request: PendingRequest) -> None:
        """Takes a request in. Raises PublishUnavailableError when that would exceed the cap."""
        size = request.waiting_bytes()
        # A single request larger than the cap must be able to pass when nothing else waits.
        if self.unacknowledged_bytes and self.unacknowledged_bytes + size > self._max_bytes:
            raise PublishUnavailableError(
                "kafka_backlog",
                f"{self.unacknowledged_bytes} bytes already wait for Kafka and at most {self._max_bytes} may; "
                "nothing of this request was sent",
            )
        self._requests.append(request)
        self.unacknowledged_bytes += size
        self.waiting_bytes += size

    def fill(self, batch: Batch) -> FilledBatch:
        """Moves waiting records into `batch` until it is full or nothing waits."""
        parts: list[Part] = []
        before = self.waiting_bytes
        while self._requests:
            request = self._requests[0]
            start, before_request = request.taken, request.waiting_bytes()
            end = batch.extend(request.values, start, request.headers)
            if end > start:
                request.taken = end
                parts.append(Part(request, len(request.receipts), end - start))
                request.receipts.append(None)
                self.waiting_bytes -= before_request - request.waiting_bytes()
            if end < len(request.values):
                break
            self._requests.popleft()
            # The batch holds the bytes from here on; a request that waits for its answer need not.
            request.values = ()
            request.taken = 0
        return FilledBatch(tuple(parts), before - self.waiting_bytes)

    def release(self, size_bytes: int) -> None:
        """Forgets the bytes of a batch that Kafka acknowledged or that was given up."""
        self.unacknowledged_bytes -= size_bytes

    def withdraw(self, request: PendingRequest) -> bool:
        """Takes back what of a request is in no batch yet; true when none of it ever was in one."""
        size = request.waiting_bytes()
        if request.values:
            self._requests.remove(request)
            self.unacknowledged_bytes -= size
            self.waiting_bytes -= size
            request.values = ()
            request.taken = 0
        return not request.receipts

    def drain(self) -> list[PendingRequest]:
        """Takes back every request that is not wholly in batches."""
        requests = list(self._requests)
        for request in requests:
            self.withdraw(request)
        return requests
