"""The records that wait for Kafka: first come, first served, counted in bytes, cut into batches across requests."""

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

    __slots__ = ("answer", "headers", "queued", "receipts", "taken", "unacknowledged", "values", "waiting_bytes")

    def __init__(self, values: Sequence[bytes], headers: RecordHeaders, answer: asyncio.Future[list[Receipt]]) -> None:
        self.values = values
        self.headers = headers
        self.answer = answer
        # True while the queue holds it: it then has records that are in no batch yet.
        self.queued = False
        self.taken = 0
        self.waiting_bytes = _size_bytes(values)
        self.unacknowledged = len(values)
        self.receipts: list[Receipt | None] = []

    def take_until(self, end: int) -> Part:
        """The records up to `end`, exclusive, are in a batch now."""
        part = Part(self, len(self.receipts), end - self.taken)
        # Most requests leave whole: then nothing need be added up again.
        self.waiting_bytes = _size_bytes(self.values[end:]) if end < len(self.values) else 0
        self.taken = end
        self.receipts.append(None)
        return part

    def leave_queue(self) -> None:
        """Nothing more will be taken. What was is held by its batches; while the answer is waited for, nothing else."""
        self.queued = False
        self.waiting_bytes = 0
        self.values = ()

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


def _size_bytes(values: Sequence[bytes]) -> int:
    return sum(map(len, values)) + len(values) * RECORD_OVERHEAD_BYTES


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

    @property
    def count(self) -> int:
        """Its records."""
        return sum(part.count for part in self.parts)

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

    def __init__(self) -> None:
        self._requests: deque[PendingRequest] = deque()
        self.unacknowledged_bytes = 0
        self.waiting_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, request: PendingRequest) -> None:
        """Takes a request in."""
        self._requests.append(request)
        request.queued = True
        self.unacknowledged_bytes += request.waiting_bytes
        self.waiting_bytes += request.waiting_bytes

    def fill(self, batch: Batch) -> FilledBatch:
        """Moves waiting records into `batch` until it is full or nothing waits."""
        parts: list[Part] = []
        before = self.waiting_bytes
        while self._requests:
            request = self._requests[0]
            end = batch.extend(request.values, request.taken, request.headers)
            if end > request.taken:
                waiting_before = request.waiting_bytes
                parts.append(request.take_until(end))
                self.waiting_bytes -= waiting_before - request.waiting_bytes
            if end < len(request.values):
                break
            self._requests.popleft()
            request.leave_queue()
        return FilledBatch(tuple(parts), before - self.waiting_bytes)

    def release(self, size_bytes: int) -> None:
        """Forgets the bytes of a batch that Kafka acknowledged or that was given up."""
        self.unacknowledged_bytes -= size_bytes

    def withdraw(self, request: PendingRequest) -> bool:
        """Takes back what of a request is in no batch yet; true when none of it ever was in one."""
        if request.queued:
            self._requests.remove(request)
            self.unacknowledged_bytes -= request.waiting_bytes
            self.waiting_bytes -= request.waiting_bytes
            request.leave_queue()
        return not request.receipts

    def drain(self) -> list[PendingRequest]:
        """Takes back every request that is not wholly in batches."""
        requests = list(self._requests)
        for request in requests:
            self.withdraw(request)
        return requests
