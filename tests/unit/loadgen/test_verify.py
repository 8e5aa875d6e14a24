"""Rules of the verification: whatever is lost, doubled, altered, invented or refused-yet-stored is found and named."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from random import Random
from uuid import UUID

import msgspec
import pytest

from loadgen.cell_check import CellPolicy
from loadgen.encode import EventEncoder, EventRange, make_templates
from loadgen.identity import RunIdentity
from loadgen.ledger import RunLedger
from loadgen.outcome import Fate
from loadgen.verdict import EXIT_BROKEN, EXIT_NOTHING_ACKED, EXIT_OK, EXIT_UNVERIFIED, Verdict
from loadgen.verify import Verification, VerifyPolicy
from tests.unit.loadgen.fakes import START_UNIX_US, FakeClock, ListReader, moment, outcome, stored

ENCODER = EventEncoder(RunIdentity(77), make_templates(7, "lg-x-", 40))
SIZE = 2500
LATER = moment(1.0)
EXACTLY = VerifyPolicy(own_sources=True, deadline_s=20.0)
CELLS = VerifyPolicy(own_sources=True, exact_up_to=100, deadline_s=20.0)
COUNTS_ONLY = replace(CELLS, cells=CellPolicy(sample_events=0))


class Scene:
    """A run of 2,500 events, in batches of 500, all acknowledged at 10 ms and all stored."""

    def __init__(self, step_us: int = 1000) -> None:
        self.ledger, self.clock = RunLedger(), FakeClock()
        for first in range(0, SIZE, 500):
            events = EventRange(first, 500, START_UNIX_US + first * step_us, step_us)
            self.ledger.issued(events)
            self.ledger.finished(outcome(events))
        self.rows = [stored(ENCODER, self.ledger, number) for number in range(SIZE)]
        self.reader = ListReader(self.rows, lambda: LATER)

    def refate(self, first: int, fate: Fate) -> None:
        events = EventRange(first, 500, START_UNIX_US + first * 1000, 1000)
        self.ledger.finished(outcome(events, fate))

    async def verify(self, policy: VerifyPolicy | None = None) -> Verdict:
        policy = policy or EXACTLY
        return await self.clock.run(
            Verification(self.ledger, ENCODER, self.reader, policy, self.clock, Random(1)).run()
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture(params=[EXACTLY, CELLS], ids=["exact", "by cells"])
def policy(request: pytest.FixtureRequest) -> VerifyPolicy:
    chosen: VerifyPolicy = request.param
    return chosen


async def test_a_whole_run_is_found(scene: Scene, policy: VerifyPolicy) -> None:
    verdict = await scene.verify(policy)
    assert (verdict.stored, verdict.compared_by_id, verdict.exit_code) == (SIZE, SIZE, EXIT_OK)


async def test_the_verdict_says_what_was_looked_at(scene: Scene) -> None:
    assert (await scene.verify(EXACTLY)).lines() == [
        "All 2,500 acknowledged events are there, none twice (each compared by its id)."
    ]
    assert (await scene.verify(replace(CELLS, cells=CellPolicy(sample_events=100)))).lines() == [
        "For 2,500 acknowledged events as many are there, in each second of each source (36 counts); "
        "in 4 of these, picked at random, each of 250 events was compared by its id."
    ]


async def test_events_of_others_do_not_matter(scene: Scene) -> None:
    other = EventEncoder(RunIdentity(78), ENCODER.templates)
    scene.reader.events += [stored(other, scene.ledger, number) for number in range(100)]
    verdict = await scene.verify()
    assert (verdict.stored, verdict.exit_code) == (SIZE, EXIT_OK)


async def test_a_lost_event_is_named(scene: Scene, policy: VerifyPolicy) -> None:
    lost = scene.reader.events.pop(1234)
    verdict = await scene.verify(policy)
    assert verdict.exit_code == EXIT_BROKEN
    assert (verdict.missing.count, verdict.missing.first_ids) == (1, [str(lost.id)])
    assert verdict.lines()[0] == f"1 events were acknowledged and cannot be found: {lost.id}"


async def test_a_doubled_event_is_noticed(scene: Scene, policy: VerifyPolicy) -> None:
    scene.reader.events.insert(7, scene.rows[1700])
    verdict = await scene.verify(policy)
    assert verdict.exit_code == EXIT_BROKEN
    assert verdict.twice.count == 1


@pytest.mark.parametrize(
    ("policy", "second_of_the_doubled"),
    [(EXACTLY, 0), (CELLS, 0), (COUNTS_ONLY, 1)],
    ids=["exact", "in the same cell", "in another second, by counts alone"],
)
async def test_a_doubled_event_of_the_same_source_does_not_hide_a_lost_one(
    scene: Scene, policy: VerifyPolicy, second_of_the_doubled: int
) -> None:
    lost = scene.rows[3]
    doubled = next(
        row
        for row in scene.rows[4 + 1000 * second_of_the_doubled :]
        if (row.source, row.id) != (lost.source, lost.id) and row.source == lost.source
    )
    scene.reader.events[3] = doubled
    verdict = await scene.verify(policy)
    assert verdict.missing.first_ids == [str(lost.id)]
    assert verdict.twice.first_ids == [str(doubled.id)]
    assert verdict.exit_code == EXIT_BROKEN


async def test_sources_that_an_answer_does_not_list_are_asked_for_one_by_one(scene: Scene) -> None:
    scene.reader.most_listed = 3
    lost = scene.reader.events.pop(1234)
    verdict = await scene.verify(COUNTS_ONLY)
    assert verdict.missing.first_ids == [str(lost.id)]


async def test_of_very_many_doubtful_cells_the_difference_is_told(scene: Scene) -> None:
    del scene.reader.events[:1000]
    verdict = await scene.verify(replace(CELLS, cells=CellPolicy(doubtful_events=100)))
    assert verdict.missing.count == 1000
    assert verdict.compared_by_id < 2000


async def test_counts_that_say_other_than_the_list_are_a_fault_of_their_own(scene: Scene) -> None:
    counted, source = scene.reader.miscount, scene.rows[0].source
    counted[source] = 2
    verdict = await scene.verify(COUNTS_ONLY)
    assert (verdict.miscounted.count, verdict.twice.count, verdict.exit_code) == (6, 0, EXIT_BROKEN)


async def test_a_run_of_many_minutes_is_counted_by_the_minute() -> None:
    scene = Scene(step_us=1_000_000)
    lost = scene.reader.events.pop(1234)
    verdict = await scene.verify(COUNTS_ONLY)
    assert (verdict.cell_s, verdict.missing.first_ids) == (60, [str(lost.id)])


@pytest.mark.parametrize("changes", [{"message": "else"}, {"severity": "LOW!"}, {"attributes": None}, {"source": "s"}])
async def test_other_content_than_was_sent_is_noticed(scene: Scene, changes: dict[str, object]) -> None:
    scene.reader.events[9] = msgspec.structs.replace(scene.rows[9], **changes)
    verdict = await scene.verify()
    assert verdict.altered.first_ids == [str(scene.rows[9].id)]
    assert verdict.exit_code == EXIT_BROKEN


async def test_an_event_of_this_run_that_was_never_sent_is_noticed(scene: Scene) -> None:
    identifier = UUID(ENCODER.identity.event_id(START_UNIX_US // 1000, SIZE + 5))
    scene.reader.events.append(msgspec.structs.replace(scene.rows[0], id=identifier))
    verdict = await scene.verify()
    assert verdict.never_sent.first_ids == [str(identifier)]


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.NOT_TAKEN])
async def test_a_refused_event_must_not_be_there(scene: Scene, fate: Fate, policy: VerifyPolicy) -> None:
    scene.refate(500, fate)
    verdict = await scene.verify(policy)
    assert verdict.refused_but_stored.count == 500
    assert verdict.exit_code == EXIT_BROKEN


async def test_events_without_a_final_answer_may_be_there_or_not(scene: Scene, policy: VerifyPolicy) -> None:
    scene.refate(500, Fate.UNKNOWN)
    del scene.reader.events[600:700]
    verdict = await scene.verify(policy)
    assert (verdict.unknown, verdict.unknown_stored, verdict.exit_code) == (500, 400, EXIT_OK)


async def test_it_waits_until_everything_acknowledged_can_be_seen(scene: Scene) -> None:
    scene.reader.complete_until = lambda: moment(scene.clock.now_s() - 3.0)
    scene.reader.events = []
    verdict = await scene.verify()
    assert 3.0 <= verdict.waited_s < 3.5
    # Each question counts what it asks for, beside the storing that it waits for.
    waiting = scene.reader.ranges[:-2]
    assert len(waiting) > 10
    assert {within.last_ms - within.first_ms for within in waiting} == {0}


async def test_a_page_older_than_the_last_acknowledgement_is_asked_for_again(scene: Scene) -> None:
    answers = iter([LATER, LATER, LATER, moment(0), moment(0)])
    scene.reader.complete_until = lambda: next(answers, LATER)
    verdict = await scene.verify()
    assert verdict.exit_code == EXIT_OK
    assert scene.reader.page_sizes == [1, 1, 1000, 1000, 1000, 1000, 1000]


async def test_an_answer_that_never_completes_ends_at_the_deadline(scene: Scene) -> None:
    scene.reader.complete_until = lambda: moment(0)
    verdict = await scene.verify()
    assert verdict.exit_code == EXIT_UNVERIFIED
    assert "complete_until stood at" in verdict.incomplete
    assert scene.clock.now_s() < 21


async def test_a_query_api_that_is_away_ends_at_the_deadline(scene: Scene) -> None:
    scene.reader.failing = lambda: True
    verdict = await scene.verify()
    assert verdict.exit_code == EXIT_UNVERIFIED
    assert verdict.lines() == ["Could not be verified: the query API is away"]
    assert scene.clock.now_s() < 21


async def test_one_failed_answer_is_asked_for_again_and_changes_nothing(scene: Scene, policy: VerifyPolicy) -> None:
    # An event that is only found by its id makes every kind of question be asked.
    scene.reader.unlisted.add(scene.rows[42].id)
    turns = count()
    scene.reader.failing = lambda: next(turns) % 2 == 0
    verdict = await scene.verify(policy)
    assert (verdict.incomplete, verdict.exit_code) == ("", EXIT_OK)
    assert verdict.failed_queries == verdict.queries / 2


async def test_an_answer_that_fails_after_the_deadline_is_asked_for_again_too(scene: Scene) -> None:
    scene.reader.complete_until = lambda: moment(scene.clock.now_s() - 19.9)
    scene.reader.failing = lambda: 20.0 < scene.clock.now_s() < 25.0
    scene.reader.unlisted.add(scene.rows[42].id)
    scene.reader.found_by_id = lambda _id: scene.clock.now_s() > 20.0
    verdict = await scene.verify()
    assert (verdict.incomplete, verdict.exit_code) == ("", EXIT_OK)


async def test_what_turns_up_late_is_told_but_not_lost(scene: Scene, policy: VerifyPolicy) -> None:
    late = scene.rows[42]
    scene.reader.unlisted.add(late.id)
    verdict = await scene.verify(policy)
    assert verdict.found_late.first_ids == [str(late.id)]
    assert verdict.exit_code == EXIT_OK


async def test_many_lost_events_are_counted_and_the_first_ones_named(scene: Scene) -> None:
    scene.reader.events = []
    verdict = await scene.verify()
    assert verdict.missing.count == SIZE
    assert len(verdict.missing.first_ids) == 5
    assert verdict.lines()[0].endswith(", …")


async def test_shared_sources_are_always_compared_id_by_id(scene: Scene) -> None:
    verdict = await scene.verify(VerifyPolicy(own_sources=False, exact_up_to=10))
    assert verdict.method == "exact"


async def test_a_run_without_acknowledgement_has_an_exit_code_of_its_own() -> None:
    clock, ledger = FakeClock(), RunLedger()
    policy = VerifyPolicy(own_sources=True)
    reader = ListReader([], lambda: LATER)
    verdict = await clock.run(Verification(ledger, ENCODER, reader, policy, clock, Random(1)).run())
    assert verdict.exit_code == EXIT_NOTHING_ACKED


def test_without_verification_the_exit_code_is_zero() -> None:
    assert Verdict().exit_code == EXIT_OK
    assert Verdict().lines() == ["Not verified."]
