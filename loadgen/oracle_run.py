"""Sends events from many producers, over HTTP and straight to Kafka, and notes what each was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

import msgspec

from loadgen.clock import Clock
from loadgen.http_connection import HttpClient, Response
from loadgen.http_sender import seconds_of
from loadgen.kafka_sender import PlaceUnknownError
from loadgen.oracle_events import Issued
from loadgen.oracle_file import OracleFile, State
from loadgen.retry import RetryPolicy

KINDS: Final = ("single", "batch", "direct")
# Of ten requests so many are single events and batches; the others are records straight to Kafka.
_SINGLES_OF_TEN: Final = 4
_BATCHES_OF_TEN: Final = 4


@dataclass(frozen=True, slots=True)
class OraclePlan:
    """What is sent: how fast in all, for how long, by how many producers; whether what is unknown goes again."""

    run: str
    seed: int
    events_per_s: float
    duration_s: float
    producers: int = 100
    batch: int = 50
    retry: bool = True


class Placer(Protocol):
    """Kafka: where a record lies. Raises PlaceUnknownError."""

    async def place(self, value: bytes) -> tuple[int, int]: ...


class _Receipt(msgspec.Struct):
    partition: int
    offset: int | None
    count: int = 1


class _Single(msgspec.Struct):
    receipt: _Receipt


class _Batch(msgspec.Struct):
    ids: list[str | None]
    receipts: list[_Receipt]


class _Problem(msgspec.Struct):
    may_be_stored: bool = True


class OracleRun:
    """The producers; each sends one request after the other, so that the order of its events is known."""

    def __init__(self, plan: OraclePlan, file: OracleFile, http: HttpClient, kafka: Placer, clock: Clock) -> None:
        self._plan: Final = plan
        self._file: Final = file
        self._http: Final = http
        self._kafka: Final = kafka
        self._clock: Final = clock
        self._numbers = iter(range(1 << 62))
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Issues nothing more; what is under way ends."""
        self._stopping.set()

    async def execute(self) -> None:
        """Returns when every producer has ended."""
        async with asyncio.TaskGroup() as group:
            for producer in range(self._plan.producers):
                group.create_task(self._produce(producer))

    async def probe(self) -> Issued:
        """One event more, acknowledged, to show that all works again. Sent until it is taken."""
        event = Issued(self._plan.run, self._good_number(), self._plan.producers, 0, self._now_ms(), "single")
        self._file.issue([event])
        await self._settled([event], Random(0), patience=RetryPolicy(max_attempts=100, max_elapsed_s=120))
        return event

    async def _produce(self, producer: int) -> None:
        plan, rng, sequence = self._plan, Random(f"{self._plan.seed} {producer}"), 0
        ends_s = self._clock.now_s() + plan.duration_s
        while not self._stopping.is_set() and self._clock.now_s() < ends_s:
            kind = self._kind(rng)
            count = 1 if kind == "single" else rng.randint(1, 2 * plan.batch - 1)
            events = [
                Issued(plan.run, next(self._numbers), producer, sequence + n, self._now_ms(), kind)
                for n in range(count)
            ]
            sequence += count
            self._file.issue(events)
            await self._settled(events, rng)
            pause_s = rng.expovariate(plan.events_per_s / plan.producers / count)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, max(0.0, ends_s - self._clock.now_s()))):
                    await self._stopping.wait()

    def _kind(self, rng: Random) -> str:
        drawn = rng.randrange(10)
        if drawn < _SINGLES_OF_TEN:
            return "single"
        return "batch" if drawn < _SINGLES_OF_TEN + _BATCHES_OF_TEN else "direct"

    def _now_ms(self) -> int:
        return self._clock.unix_us() // 1000

    def _good_number(self) -> int:
        return next(n for n in self._numbers if not Issued(self._plan.run, n, 0, 0, 0, "single").bad)

    async def _settled(self, events: Sequence[Issued], rng: Random, patience: RetryPolicy | None = None) -> None:
        """Sends, and sends again what may or may not be there, until it is known or time is up."""
        policy, began_s, attempts = patience or RetryPolicy(), self._clock.now_s(), 0
        while True:
            attempts += 1
            if events[0].kind == "direct":
                known, retry_after_s = await self._direct(events), None
            else:
                known, retry_after_s = await self._posted(events)
            if known or not self._plan.retry:
                return
            delay_s = policy.delay_s(attempts, self._clock.now_s() - began_s, retry_after_s, rng)
            if delay_s is None:
                return
            await self._clock.sleep_until(self._clock.now_s() + delay_s)

    async def _direct(self, events: Sequence[Issued]) -> bool:
        for event in events:
            try:
                partition, offset = await self._kafka.place(event.body())
            except PlaceUnknownError:
                # Those after it would overtake it.
                self._file.settle([event], State.UNKNOWN)
                return True
            self._file.place([(event, partition, offset)])
        return True

    async def _posted(self, events: Sequence[Issued]) -> tuple[bool, float | None]:
        """Whether the answer was final, and what it said of the next time."""
        try:
            response = await self._http.request(self._request(events))
        except (OSError, TimeoutError):
            self._file.settle(events, State.UNKNOWN)
            return False, None
        if response.status == 201:
            self._file.place(_places(events, response))
            self._file.settle([event for event in events if event.bad], State.REFUSED)
            return True, None
        if response.status in {429, 503}:
            if _decoded(_Problem, response).may_be_stored:
                self._file.settle(events, State.UNKNOWN)
            return False, seconds_of(response.retry_after)
        self._file.settle(events, State.REFUSED if response.status < 500 else State.UNKNOWN)
        return response.status < 500, None

    def _request(self, events: Sequence[Issued]) -> bytes:
        single = events[0].kind == "single"
        body = events[0].body() if single else b'{"logs":[%b]}' % b",".join(event.body() for event in events)
        path = "/api/v1/logs/ingest" if single else "/api/v1/logs/ingest/batch"
        endpoint = self._http.endpoint
        head = f"POST {endpoint.base_path}{path} HTTP/1.1\r\n{endpoint.fixed_headers}Content-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _places(events: Sequence[Issued], response: Response) -> list[tuple[Issued, int, int]]:
    """Where each accepted event lies, by the receipts: those of a batch follow on each other."""
    if events[0].kind == "single":
        receipts, accepted = [_decoded(_Single, response).receipt], list(events)
    else:
        answer = _decoded(_Batch, response)
        receipts = answer.receipts
        accepted = [event for event, found in zip(events, answer.ids, strict=True) if found is not None]
    places = [(r.partition, (r.offset or 0) + n) for r in receipts for n in range(r.count)]
    return [(event, *place) for event, place in zip(accepted, places, strict=True)]


def _decoded(kind: type[Any], response: Response) -> Any:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except msgspec.DecodeError:
        if kind is _Problem:
            return _Problem()
        raise
