"""Batches of large events sent at a rate that does not wait for answers, as many senders together send."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import aiohttp

from tests.e2e.ledger import Fate, Ledger, SentEvent
from tests.e2e.load import BATCH, compact

EVENTS_PER_REQUEST = 25
# In hexadecimal digits, of which half is left after compression.
TEXT_BYTES = 4000
_TIMEOUT_S = 20.0


@dataclass(slots=True)
class Answers:
    """What one phase of the load was answered, each request with the moment of its sending and its duration."""

    began: float
    accepted: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)

    def events_per_s(self, seconds: float) -> float:
        """Those accepted within the length of the phase: what was still waiting then is not of its rate."""
        in_time = sum(sent + took <= self.began + seconds for sent, took in self.accepted)
        return in_time * EVENTS_PER_REQUEST / seconds

    def percentile_s(self, share: float) -> float:
        """How long this share of those accepted took at most."""
        took = sorted(took for _, took in self.accepted)
        return took[min(int(len(took) * share), len(took) - 1)]

    @property
    def last_refusal_s(self) -> float:
        """How long after its begin the last request was sent that was not accepted; 0 where all were."""
        return max((sent - self.began for sent, _ in self.refused), default=0.0)


class OfferedLoad:
    """Sends, and enters every event in the ledger: what is refused must not be stored."""

    def __init__(self, ledger: Ledger, gateway_url: str, rng: random.Random) -> None:
        self._ledger, self._url, self._rng = ledger, gateway_url + BATCH, rng

    async def closed(self, senders: int, duration_s: float) -> Answers:
        """So many senders that each wait for their answer."""
        answers = Answers(time.monotonic())

        async def send(session: aiohttp.ClientSession) -> None:
            while time.monotonic() < answers.began + duration_s:
                await self._post(session, answers)

        async with self._session() as session:
            await asyncio.gather(*(send(session) for _ in range(senders)))
        return answers

    async def open(self, events_per_s: float, duration_s: float) -> Answers:
        """At this rate, whatever is answered; returns when all is answered."""
        answers = Answers(time.monotonic())
        async with self._session() as session, asyncio.TaskGroup() as requests:
            for number in range(int(duration_s * events_per_s / EVENTS_PER_REQUEST)):
                await asyncio.sleep(answers.began + number * EVENTS_PER_REQUEST / events_per_s - time.monotonic())
                requests.create_task(self._post(session, answers))
        return answers

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))

    async def _post(self, session: aiohttp.ClientSession, answers: Answers) -> None:
        numbers, content = self._request()
        sent = time.monotonic()
        async with session.post(self._url, data=content, headers={"Content-Type": "application/json"}) as answer:
            body = await answer.json(content_type=None)
        took = time.monotonic() - sent
        if answer.status == 201:
            answers.accepted.append((sent, took))
            for number in numbers:
                self._ledger.settle(number, Fate.ACKED)
            return
        assert answer.status in (429, 503), body
        assert 1 <= int(answer.headers["Retry-After"]) <= 10
        answers.refused.append((sent, took))
        for number in numbers:
            self._ledger.settle(number, Fate.UNKNOWN if body["may_be_stored"] else Fate.REFUSED)

    def _request(self) -> tuple[list[str], bytes]:
        numbers, bodies = [], []
        for _ in range(EVENTS_PER_REQUEST):
            now, identifier = datetime.now(UTC), UUID(int=self._rng.getrandbits(128), version=4)
            text = f"{self._rng.getrandbits(4 * TEXT_BYTES):0{TEXT_BYTES}x}"
            number, message = self._ledger.issue(SentEvent("LOW", "overload", text, now, None, identifier))
            numbers.append(number)
            event = {"id": str(identifier), "timestamp": now.isoformat(), "severity": "LOW", "source": "overload"}
            bodies.append({**event, "message": message})
        return numbers, compact({"logs": bodies}).encode()
