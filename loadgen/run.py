"""One load run from its settings to its result: connects the parts, runs the schedule, then the verification."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random, SystemRandom
from typing import Final, Protocol

from loadgen.clock import SystemClock
from loadgen.delivery import Delivery, Patience
from loadgen.drive import OpenLoop, Plan
from loadgen.encode import EventEncoder, make_templates
from loadgen.freshness import FreshnessProbe, ProbePolicy
from loadgen.http_connection import HttpClient, parse_url
from loadgen.http_sender import HttpFormat, HttpSender
from loadgen.identity import RunIdentity
from loadgen.ledger import RunLedger
from loadgen.outcome import OutcomeRecorder, Sender, TargetUnreachableError
from loadgen.query_client import QueryClient, QueryFailedError, TimeRange
from loadgen.report import RunReport
from loadgen.retry import RetryPolicy
from loadgen.settings import RunSettings, Target
from loadgen.verdict import Verdict
from loadgen.verify import Verification, VerifyPolicy

# A schedule was held when 99 of 100 requests began within this time of their moment.
HELD_WITHIN_S: Final = 0.1
_QUERY_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a run found out. `cpu_s` is this process's while it sent and probed."""

    identity: RunIdentity
    started_at: datetime
    report: RunReport
    verdict: Verdict
    sent_events: int
    unsent_events: int
    cpu_s: float
    failed_probes: int
    skipped_probes: int

    def schedule_held(self, plan: Plan) -> bool | None:
        """Whether everything was sent when it was due, but for short delays of few; None without a schedule."""
        if not plan.interval_s:
            return None
        return not self.unsent_events and (self.report.start_delay.p99 or 0.0) <= HELD_WITHIN_S * 1000


class RunDisplay(Protocol):
    """Shows a run to the user while it goes on."""

    def say(self, line: str) -> None: ...

    async def follow(self, report: RunReport, loop: OpenLoop) -> None:
        """Runs beside the load until cancelled."""


def make_sender(target: Target, batch: int, connections: int, in_turn: bool) -> Sender:
    """The sender for a target. Raises ValueError for a URL that is none."""
    if target.kind == "kafka":
        from loadgen.kafka_sender import KafkaSender

        return KafkaSender(target.kafka_bootstrap, target.topic, target.timeout_s, target.kafka_login)
    client = HttpClient(parse_url(target.gateway_url, target.api_key), target.timeout_s, in_turn)
    return HttpSender(client, HttpFormat(batch, target.shape, target.encoding), connections)


class LoadRun:
    """One run: its own id, its own account, its own connections. Raises ValueError for a URL that is none."""

    def __init__(self, settings: RunSettings, display: RunDisplay) -> None:
        self._settings: Final = settings
        self._display: Final = display
        self._clock: Final = SystemClock()
        self._identity: Final = RunIdentity(SystemRandom().getrandbits(26))
        prefix = f"lg-{self._identity.name}-" if settings.own_sources else ""
        self._encoder: Final = EventEncoder(
            self._identity, make_templates(settings.seed, prefix, attributes=settings.attributes)
        )
        plan = settings.plan
        # Connections that are each used every second stay open; fewer requests than that keep to the one used last.
        in_turn = not plan.interval_s or 1 / plan.interval_s >= plan.concurrency
        connections = plan.concurrency if in_turn else 1
        self._sender: Final = make_sender(settings.target, plan.batch, connections, in_turn)
        endpoint = parse_url(settings.checks.query_url, settings.target.api_key)
        self._query: Final = QueryClient(HttpClient(endpoint, _QUERY_TIMEOUT_S))
        self._ledger: Final = RunLedger()

    async def execute(self) -> RunResult:
        """Sends, follows, verifies. Raises TargetUnreachableError before anything is sent.

        SIGINT and SIGTERM stop the sending; what is outstanding is waited for and the verification is still made. A
        second one cancels this coroutine.
        """
        try:
            await self._ask_query_api()
            await self._sender.open()
            return await self._run()
        finally:
            self._query.close()
            await self._sender.close()

    async def _run(self) -> RunResult:
        settings, clock = self._settings, self._clock
        started_at, report = datetime.now(UTC), RunReport(clock.now_s())
        policy = ProbePolicy(per_s=settings.checks.probes_per_s)
        probe = FreshnessProbe(self._query, self._identity, policy, clock, report)
        recorders: list[OutcomeRecorder] = [self._ledger, report]
        if settings.checks.freshness:
            recorders.append(probe)
        patience = Patience(RetryPolicy(), Random(settings.seed))
        loop = OpenLoop(settings.plan, clock, Delivery(self._encoder, self._sender, patience, clock, recorders).deliver)
        cpu_s = time.process_time()
        async with _stopped_by_signals(loop, self._display):
            follower = asyncio.create_task(self._display.follow(report, loop))
            await loop.run()
            follower.cancel()
            cpu_s = time.process_time() - cpu_s
            verdict = await self._verify()
            await probe.settle()
        return RunResult(
            self._identity,
            started_at,
            report,
            verdict,
            loop.sent_events,
            loop.unsent_events,
            cpu_s,
            probe.failed_queries,
            probe.skipped,
        )

    async def _ask_query_api(self) -> None:
        checks = self._settings.checks
        if not checks.verify and not checks.freshness:
            return
        now_ms = self._clock.unix_us() // 1000
        try:
            await self._query.page(TimeRange(now_ms - 1000, now_ms), None, 1, None)
        except QueryFailedError as error:
            hint = "--no-verify --no-freshness sends without asking it"
            raise TargetUnreachableError(f"{error} ({hint})") from None

    async def _verify(self) -> Verdict:
        checks = self._settings.checks
        if not checks.verify:
            return Verdict()
        self._display.say("Verifying: waiting until everything acknowledged can be seen …")
        policy = VerifyPolicy(self._settings.own_sources, checks.exact_up_to, deadline_s=checks.deadline_s)
        rng = Random(self._settings.seed)
        return await Verification(self._ledger, self._encoder, self._query, policy, self._clock, rng).run()


@contextlib.asynccontextmanager
async def _stopped_by_signals(loop: OpenLoop, display: RunDisplay) -> AsyncIterator[None]:
    running, asked = asyncio.get_running_loop(), 0
    task = asyncio.current_task()
    assert task is not None
    cancel: Callable[[], object] = task.cancel

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            display.say("Stopping: no more is sent; waiting for the answers. Once more ends at once.")
            loop.stop()
        else:
            cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            running.remove_signal_handler(number)
