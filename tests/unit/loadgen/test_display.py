"""Rules of the table at the end of a run: whether the schedule was held cannot be overlooked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console

from loadgen.display import result_tables
from loadgen.drive import Plan
from loadgen.encode import EventRange
from loadgen.identity import RunIdentity
from loadgen.report import RunReport
from loadgen.run import RunResult
from loadgen.verdict import Verdict
from tests.unit.loadgen.fakes import outcome

PLAN = Plan(events_per_s=100, batch=1, duration_s=1, concurrency=5)


def _result(delay_s: float, unsent_events: int) -> RunResult:
    report = RunReport(0.0)
    for number in range(100 - unsent_events):
        report.finished(outcome(EventRange(number, 1, 0, 0), started_s=delay_s, finished_s=delay_s + 0.01))
    sent, moment = report.requests, datetime(2026, 1, 1, tzinfo=UTC)
    return RunResult(RunIdentity(7), moment, report, Verdict(), sent, unsent_events, 0.1, 0, 0)


@pytest.mark.parametrize(
    ("plan", "delay_s", "unsent_events", "held", "words"),
    [
        (PLAN, 0.02, 0, True, "held"),
        (PLAN, 0.02, 25, False, "NOT HELD: 25 of 100 events not sent"),
        (PLAN, 1.5, 0, False, "NOT HELD: one request in 100 began 1,500 ms late"),
        (Plan(0, 1, 1, 5), 1.5, 0, None, "none"),
    ],
)
def test_a_schedule_that_was_not_held_is_told(
    plan: Plan, delay_s: float, unsent_events: int, held: bool | None, words: str
) -> None:
    result, console = _result(delay_s, unsent_events), Console(width=120)
    assert result.schedule_held(plan) is held
    with console.capture() as shown:
        console.print(result_tables(result, plan)[0])
    line = next(line for line in shown.get().splitlines() if line.strip("│ ").startswith("schedule"))
    assert words in line
