"""Sends events over HTTP and straight to Kafka at a steady rate, and enters every one in a ledger."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.e2e.ledger import Fate, Ledger, SentEvent

INGEST = "/api/v1/logs/ingest"
BATCH = "/api/v1/logs/ingest/batch"
_REQUEST_TIMEOUT_S = 12.0
_DIRECT_TIMEOUT_S = 30.0
_RETRY_PAUSE_S = 0.3
_SPELLINGS = {"INFO": "info", "LOW": "NOTICE", "MEDIUM": "warn", "HIGH": "ERROR", "CRITICAL": "Fatal"}
_EAST = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True, slots=True)
class Mix:
    """How many senders of each kind there are, what one sends at a time, and how long it pauses on average."""

    singles: int = 6
    batches: int = 4
    keyed: int = 2
    direct: int = 2
    batch_events: int = 50
    pause_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Written:
    """One event ready to be sent: its number in the ledger and its JSON object."""

    number: str
    body: dict[str, Any]


class EventWriter:
    """Makes events that differ in every way the contract allows, and enters them in the ledger."""

    def __init__(self, ledger: Ledger, rng: random.Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._sources = [f"10.0.{n}.{n % 7}" for n in range(12)] + ["vpn|gate", "Köln-fw"]

    def write(self, *, with_time: bool = True, with_id: bool = True) -> Written:
        """One event; `with_id` needs `with_time`."""
        rng = self._rng
        severity = rng.choice(list(_SPELLINGS))
        moment = self._moment() if with_time else None
        identifier = UUID(int=rng.getrandbits(128), version=4) if with_id else None
        attributes = self._attributes()
        event = SentEvent(severity, rng.choice(self._sources), self._text(), moment, attributes, identifier)
        number, message = self._ledger.issue(event)
        body: dict[str, Any] = {"severity": severity, "source": event.source, "message": message}
        if rng.random() < 0.1:
            body["severity"] = _SPELLINGS[severity]
        if moment is not None:
            body["timestamp"] = (moment.astimezone(_EAST) if rng.random() < 0.1 else moment).isoformat()
        if identifier is not None:
            body["id"] = str(identifier)
        if attributes is not None:
            body["attributes"] = json.loads(attributes)
        return Written(number, body)

    def _moment(self) -> datetime:
        """Mostly now, some late, a few on other days, a few beyond every day partition."""
        rng, now = self._rng, datetime.now(UTC)
        chance = rng.random()
        if chance < 0.8:
            return now - timedelta(microseconds=rng.randrange(1_000_000))
        if chance < 0.97:
            return now - timedelta(seconds=rng.uniform(1, 7200))
        if chance < 0.99:
            return now - timedelta(days=rng.uniform(1, 3))
        return now + timedelta(days=rng.choice((-400, 400)), seconds=rng.uniform(0, 3600))

    def _text(self) -> str:
        return "".join(self._rng.choices('abc üß漢😀\\"\t', k=self._rng.randrange(5, 200))).strip()

    def _attributes(self) -> str | None:
        if self._rng.random() < 0.7:
            return None
        value = {
            "user": self._rng.choice(("root", "Ünal")),
            "n": self._rng.randrange(10**6),
            "path": ["a\\b", {"x": 1}],
        }
        return compact(value)


def compact(value: object) -> str:
    """JSON as this load sends it; attributes are stored as these characters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Load:
    """Runs the senders until `stop`. Requests that can be repeated are, until they are acknowledged or time is up."""

    def __init__(self, ledger: Ledger, gateway_url: str, seed: int, mix: Mix) -> None:
        self._ledger = ledger
        self._url = gateway_url
        self._seed = seed
        self._mix = mix
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._producer: AIOKafkaProducer | None = None
        self._topic = ""
        self.retries = 0
        self.unavailable = 0
        self.answered_503 = 0
        self.longest_answer_s = 0.0

    async def start(self, bootstrap_servers: str, topic: str) -> None:
        """Opens the clients and starts to send."""
        self._topic = topic
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S))
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=2
        )
        await self._producer.start()
        kinds = {
            "single": (self._mix.singles, self._single),
            "batch": (self._mix.batches, self._batch),
            "keyed": (self._mix.keyed, self._keyed),
            "direct": (self._mix.direct, self._direct),
        }
        for name, (count, send) in kinds.items():
            for number in range(count):
                rng = random.Random(f"{self._seed}-{name}-{number}")
                self._tasks.append(asyncio.create_task(self._repeat(send, rng), name=f"{name}-{number}"))

    async def stop(self, timeout_s: float = 40.0) -> None:
        """Issues nothing more, lets what is under way end, and closes the clients."""
        self._stopping.set()
        done, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        assert self._session is not None
        assert self._producer is not None
        await self._session.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._producer.stop(), 10)
        for task in done:
            task.result()

    async def _repeat(self, send: Callable[[random.Random, EventWriter], Awaitable[None]], rng: random.Random) -> None:
        writer = EventWriter(self._ledger, rng)
        while not self._stopping.is_set():
            await send(rng, writer)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), rng.expovariate(1 / self._mix.pause_s))

    async def _single(self, rng: random.Random, writer: EventWriter) -> None:
        repeatable = rng.random() < 0.5
        event = writer.write(with_time=repeatable or rng.random() < 0.5, with_id=repeatable)
        await self._until_settled(INGEST, compact(event.body), [event], {}, rng if repeatable else None)

    async def _batch(self, rng: random.Random, writer: EventWriter) -> None:
        events = [writer.write() for _ in range(self._mix.batch_events)]
        await self._until_settled(BATCH, self._with_a_bad_one(events, rng), events, {}, rng)

    async def _keyed(self, rng: random.Random, writer: EventWriter) -> None:
        events = [writer.write(with_id=False) for _ in range(20)]
        key = {"Idempotency-Key": f"key-{rng.getrandbits(64):x}"}
        await self._until_settled(BATCH, self._with_a_bad_one(events, rng), events, key, rng)

    def _with_a_bad_one(self, events: list[Written], rng: random.Random) -> str:
        """One batch in four holds an item that must be refused, and cost its neighbours nothing."""
        if rng.random() < 0.25:
            bad = events[rng.randrange(len(events))]
            bad.body["severity"] = "LOUD"
        return compact({"logs": [event.body for event in events]})

    async def _until_settled(
        self, path: str, content: str, events: Sequence[Written], headers: dict[str, str], retry: random.Random | None
    ) -> None:
        """Sends once; with `retry` again until it is acknowledged, and sometimes once more after that."""
        while not await self._post(path, content, events, headers) and retry is not None:
            if self._stopping.is_set():
                return
            self.retries += 1
            await asyncio.sleep(_RETRY_PAUSE_S)
        if retry is not None and retry.random() < 0.1:
            self.retries += 1
            await asyncio.sleep(retry.choice((0.0, 0.1, 2.0)))
            await self._post(path, content, events, headers)

    async def _post(self, path: str, content: str, events: Sequence[Written], headers: dict[str, str]) -> bool:
        assert self._session is not None
        began = time.monotonic()
        try:
            async with self._session.post(
                self._url + path, data=content.encode(), headers={"Content-Type": "application/json", **headers}
            ) as answer:
                status, body = answer.status, await answer.json(content_type=None)
                self.longest_answer_s = max(self.longest_answer_s, time.monotonic() - began)
                assert status not in (429, 503) or int(answer.headers["Retry-After"]) >= 1
        except (aiohttp.ClientError, TimeoutError, OSError):
            status, body = 0, {}
        except asyncio.CancelledError:
            # An earlier try may have been refused for certain; this one may be stored.
            self._settle_unavailable(events, {})
            raise
        self.answered_503 += status == 503
        if status in (0, 429, 503):
            self.unavailable += 1
            self._settle_unavailable(events, body)
            return False
        assert status == 201, f"{path} answered {status}: {body}"
        ids = body["ids"] if path == BATCH else [body["id"]]
        for event, identifier in zip(events, ids, strict=True):
            if identifier is None:
                self._ledger.settle(event.number, Fate.REFUSED)
            else:
                self._ledger.settle(event.number, Fate.ACKED, UUID(identifier))
        return True

    def _settle_unavailable(self, events: Sequence[Written], problem: Mapping[str, Any]) -> None:
        """Stored once or not at all, unless the answer says that nothing was kept: then it must not be."""
        fate = Fate.UNKNOWN if problem.get("may_be_stored", True) else Fate.REFUSED
        for event in events:
            self._ledger.settle(event.number, fate)

    async def _direct(self, rng: random.Random, writer: EventWriter) -> None:
        """Some with an id, some without one, some bad: each record has a fate of its own."""
        events = [writer.write(with_id=rng.random() < 0.7) for _ in range(rng.randrange(10, 40))]
        bad = [f"no event at all {rng.getrandbits(64):x}".encode() for _ in range(rng.random() < 0.2)]
        await asyncio.gather(
            *(self._produce(compact(event.body).encode(), event.number) for event in events),
            *(self._produce(payload, None) for payload in bad),
        )

    async def _produce(self, value: bytes, number: str | None) -> None:
        assert self._producer is not None
        try:
            sent = await asyncio.wait_for(self._producer.send(self._topic, value), _DIRECT_TIMEOUT_S)
            await asyncio.wait_for(asyncio.shield(sent), _DIRECT_TIMEOUT_S)
            fate = Fate.ACKED
        except (KafkaError, TimeoutError):
            fate = Fate.UNKNOWN
        if number is None:
            self._ledger.settle_bad(value, fate)
        else:
            self._ledger.settle(number, fate)
