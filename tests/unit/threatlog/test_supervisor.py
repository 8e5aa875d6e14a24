"""Parts are started in order, started again when they die, and stopped in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from threatlog.embedded import ServerError
from threatlog.up.stopping import StopRequestedError
from threatlog.up.supervisor import RestartPolicy, Supervisor, ending


@dataclass
class Clock:
    """A clock that moves when something sleeps, and asks to stop at `stop_at`."""

    now: float = 0.0
    stop_at: float = 1e9

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now = round(self.now + max(seconds, 0.01), 6)
        if self.now >= self.stop_at:
            raise StopRequestedError


@dataclass
class Diary:
    """Keeps what was said and done, with the time."""

    clock: Clock
    lines: list[tuple[float, str]] = field(default_factory=list)

    def step(self, text: str) -> None:
        self.lines.append((self.clock.now, text))

    good = bad = step

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]


class FakePart:
    """A part that is ready `ready_after_s` after its start, and dies at the times in `dies_at`."""

    def __init__(self, name: str, diary: Diary, *dies_at: float, ready_after_s: float = 0.3) -> None:
        self.name = name
        self._diary = diary
        self._dies_at = list(dies_at)
        self._ready_after_s = ready_after_s
        self._started_at: float | None = None
        self.ends_when_done = False
        self.obeys = True
        self.child: Any = SimpleNamespace(
            exit_code=-9, launch=SimpleNamespace(log_path=Path(f"{name}.log")), wait=self._wait, kill=self._kill
        )

    @property
    def running(self) -> bool:
        if self._started_at is not None and self._dies_at and self._diary.clock.now >= self._dies_at[0]:
            self._dies_at.pop(0)
            self._started_at = None
        return self._started_at is not None

    def prepare(self) -> None:
        self._diary.step(f"prepare {self.name}")

    def start(self) -> None:
        self._diary.step(f"start {self.name}")
        self._started_at = self._diary.clock.now

    def is_ready(self) -> bool:
        if not self.running or self._started_at is None:
            raise ServerError(f"{self.name} ended with code -9")
        return self._diary.clock.now >= self._started_at + self._ready_after_s

    def request_stop(self) -> None:
        self._diary.step(f"stop {self.name}")

    def _wait(self, timeout_s: float) -> int | None:
        if not self.obeys:
            self._diary.clock.now += max(timeout_s, 0.0)
            return None
        self._started_at = None
        return 0

    def _kill(self) -> None:
        self._diary.step(f"kill {self.name}")
        self._started_at = None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def diary(clock: Clock) -> Diary:
    return Diary(clock)


def watched(clock: Clock, diary: Diary, *parts: FakePart, until: float) -> None:
    supervisor = Supervisor(diary, clock, clock)
    supervisor.start(parts, 10.0)
    clock.stop_at = until
    with pytest.raises(StopRequestedError):
        supervisor.watch()


def test_a_stage_is_done_when_all_of_its_parts_are_ready(clock: Clock, diary: Diary) -> None:
    supervisor = Supervisor(diary, clock, clock)
    supervisor.start([FakePart("a", diary, ready_after_s=2.0), FakePart("b", diary, ready_after_s=1.0)], 10.0)
    assert diary.texts[2:] == ["start a", "start b", "b is ready", "a is ready"]


def test_a_part_that_ends_while_it_starts_fails_the_stage(clock: Clock, diary: Diary) -> None:
    with pytest.raises(ServerError, match="a ended with code -9"):
        Supervisor(diary, clock, clock).start([FakePart("a", diary, 0.2)], 10.0)


def test_a_part_that_is_never_ready_fails_the_stage_with_its_log(clock: Clock, diary: Diary) -> None:
    with pytest.raises(ServerError, match=r"a not ready after 10 s; see a\.log"):
        Supervisor(diary, clock, clock).start([FakePart("a", diary, ready_after_s=99.0)], 10.0)


def test_a_part_that_cannot_be_prepared_fails_the_stage_before_any_start(clock: Clock, diary: Diary) -> None:
    class Unprepared(FakePart):
        def prepare(self) -> None:
            raise ServerError("no network")

    with pytest.raises(ServerError, match="no network"):
        Supervisor(diary, clock, clock).start([FakePart("a", diary), Unprepared("b", diary)], 10.0)
    assert not [text for text in diary.texts if text.startswith("start")]


def test_a_part_that_died_is_started_again_and_that_is_said(clock: Clock, diary: Diary) -> None:
    watched(clock, diary, FakePart("gateway", diary, 5.0), until=8.0)
    assert diary.texts[3:] == [
        "gateway ended (signal 9); starting it again in 0.5 s (log: gateway.log)",
        "start gateway",
        "gateway is ready again",
    ]


def test_each_death_in_a_row_makes_the_pause_longer(clock: Clock, diary: Diary) -> None:
    watched(clock, diary, FakePart("stream", diary, 5.0, 6.0, 8.0), until=20.0)
    pauses = [text.split(" in ")[1].split(" s ")[0] for text in diary.texts if "starting it again" in text]
    assert pauses == ["0.5", "1", "2"]


def test_a_part_that_lived_a_while_is_started_again_at_once(clock: Clock, diary: Diary) -> None:
    watched(clock, diary, FakePart("stream", diary, 5.0, 6.0, 90.0), until=95.0)
    pauses = [text.split(" in ")[1].split(" s ")[0] for text in diary.texts if "starting it again" in text]
    assert pauses == ["0.5", "1", "0.5"]


def test_a_restart_that_fails_is_tried_again(clock: Clock, diary: Diary) -> None:
    class PortTaken(FakePart):
        refusals = [False, True, False]  # noqa: RUF012 - used up by one part of one test

        def start(self) -> None:
            if self.refusals.pop(0):
                raise ServerError("port 1 is taken")
            super().start()

    watched(clock, diary, PortTaken("query", diary, 5.0), until=9.0)
    assert diary.texts[-3:] == [
        "query cannot start: port 1 is taken; starting it again in 1 s (log: query.log)",
        "start query",
        "query is ready again",
    ]


def test_what_the_machine_refuses_is_told_in_one_line_before_any_start(clock: Clock, diary: Diary) -> None:
    class Full(FakePart):
        def prepare(self) -> None:
            raise OSError(28, "No space left on device", "/data/kafka")

    with pytest.raises(ServerError, match=r"^kafka cannot be prepared: No space left on device: /data/kafka$"):
        Supervisor(diary, clock, clock).start([Full("kafka", diary)], 10.0)


def test_a_restart_that_the_machine_refuses_is_tried_again(clock: Clock, diary: Diary) -> None:
    class DiskFull(FakePart):
        refusals = [False, True, False]  # noqa: RUF012 - used up by one part of one test

        def start(self) -> None:
            if self.refusals.pop(0):
                raise OSError(28, "No space left on device")
            super().start()

    watched(clock, diary, DiskFull("query", diary, 5.0), until=9.0)
    assert "query cannot start: No space left on device; starting it again in 1 s (log: query.log)" in diary.texts
    assert diary.texts[-1] == "query is ready again"


@pytest.mark.parametrize(("code", "told"), [(0, False), (1, True)])
def test_a_part_that_is_done_is_started_again_without_a_word(clock: Clock, diary: Diary, code: int, told: bool) -> None:
    sender = FakePart("loadgen", diary, 5.0)
    sender.ends_when_done = True
    sender.child.exit_code = code
    watched(clock, diary, sender, until=8.0)
    assert diary.texts.count("start loadgen") == 2
    assert any("loadgen ended" in text for text in diary.texts) is told


def test_parts_stop_group_by_group(clock: Clock, diary: Diary) -> None:
    supervisor = Supervisor(diary, clock, clock)
    supervisor.start([FakePart(name, diary) for name in ("kafka", "gateway", "stream-1", "stream-2", "query")], 10.0)
    diary.lines.clear()
    supervisor.stop([(("gateway",), 2.0), (("stream", "query"), 3.0), (("kafka",), 3.0)])
    assert diary.texts == ["stop gateway", "stopping", "stop stream-1", "stop stream-2", "stop query", "stop kafka"]


def test_a_part_that_does_not_stop_is_killed_after_its_time(clock: Clock, diary: Diary) -> None:
    part = FakePart("stream", diary)
    part.obeys = False
    supervisor = Supervisor(diary, clock, clock)
    supervisor.start([part], 10.0)
    begin = clock.now
    supervisor.stop([(("stream",), 3.0)])
    assert diary.texts[-2:] == ["kill stream", "stream did not stop in time; killed"]
    assert clock.now - begin == pytest.approx(3.0)


def test_the_pause_before_a_restart_has_a_limit() -> None:
    policy = RestartPolicy(first_delay_s=0.5, longest_delay_s=30.0)
    assert [policy.delay_s(deaths) for deaths in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_an_ending_is_said_in_words() -> None:
    assert (ending(-9), ending(78)) == ("signal 9", "exit code 78")
