"""Looks for everything that was acknowledged through the query API, and for what must not be there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import Random
from typing import Final

from loadgen.cell_check import CellCheck, CellPolicy
from loadgen.clock import Clock
from loadgen.encode import EventEncoder
from loadgen.id_check import IdCheck
from loadgen.ledger import Account
from loadgen.outcome import Fate
from loadgen.patient_reader import PatientReader
from loadgen.query_client import LogReader, QueryFailedError, TimeRange
from loadgen.verdict import BY_CELLS, EXACT, Verdict

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VerifyPolicy:
    """How thoroughly and how patiently a run is checked.

    Runs whose time range holds more than `exact_up_to` events are checked by cells, if they have sources of their own
    (`own_sources`); all others id by id. `deadline_s` bounds the wait for `complete_until` and for answers.
    """

    own_sources: bool
    exact_up_to: int = 200_000
    deadline_s: float = 120.0
    cells: CellPolicy = field(default_factory=CellPolicy)


class Verification:
    """One check of one run.

    1. Wait until `complete_until` has passed the last acknowledgement.
    2. Compare with the account: every stored event of the run's time range, or counts by source and second (of long
       runs: minute), and then every event of the cells that do not agree and of some that do.
    3. Ask once more, for a few seconds, for each acknowledged event that was missing.
    """

    def __init__(
        self,
        account: Account,
        encoder: EventEncoder,
        reader: LogReader,
        policy: VerifyPolicy,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._account: Final = account
        self._encoder: Final = encoder
        self._policy: Final = policy
        self._clock: Final = clock
        self._rng: Final = rng
        self._verdict: Final = Verdict(EXACT, acked=account.count(Fate.ACKED), unknown=account.count(Fate.UNKNOWN))
        needed = _EPOCH + timedelta(microseconds=account.last_acked_unix_us)
        self._reader: Final = PatientReader(reader, needed, policy.deadline_s, clock, self._verdict)
        self._ids: Final = IdCheck(account, encoder, self._reader, clock, self._verdict)

    async def run(self) -> Verdict:
        """Never raises for what the query API does: that is in the verdict."""
        verdict, started_s = self._verdict, self._clock.now_s()
        if not self._account.issued_events:
            return verdict
        within = TimeRange(*self._account.time_range_ms())
        try:
            # A moment of the run's time: counting all of it at each question would slow down what is waited for.
            await self._reader.page(TimeRange(within.first_ms, within.first_ms), None, 1)
            verdict.waited_s = self._clock.now_s() - started_s
            first = await self._reader.page(within, None, 1)
            if self._policy.own_sources and first.total > self._policy.exact_up_to:
                verdict.method = BY_CELLS
                cells = CellCheck(self._account, self._encoder.templates, self._reader, self._ids, verdict)
                await cells.compare(self._policy.cells, self._rng)
            else:
                await self._compare_all(within)
        except QueryFailedError as error:
            verdict.incomplete = f"Could not be verified: {error}"
        return verdict

    async def _compare_all(self, within: TimeRange) -> None:
        await self._ids.compare(within, None, self._numbers_of, self._policy.cells.late_grace_s)
        self._verdict.stored = self._verdict.compared_by_id
        self._verdict.unknown_stored = self._ids.seen(self._numbers_of(Fate.UNKNOWN))

    def _numbers_of(self, fate: Fate) -> Iterable[int]:
        return chain.from_iterable(range(begin, end) for begin, end in self._account.spans(fate))
