"""Starts parts in stages, watches them, starts again what died, and stops all in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from threatlog.embedded import ServerError
from threatlog.embedded.child import ChildProcess
from threatlog.embedded.errors import in_words

_POLL_INTERVAL_S = 0.1
_SAY_INTERVAL_S = 5.0


class Part(Protocol):
    """What the supervisor needs of a server or a service.

    One that `ends_when_done` ends with code 0 to be started again, which is no news.
    """

    name: str
    ends_when_done: bool

    @property
    def running(self) -> bool: ...
    @property
    def child(self) -> ChildProcess: ...
    def prepare(self) -> None: ...
    def start(self) -> None: ...
    def is_ready(self) -> bool: ...
    def request_stop(self) -> None: ...


class Voice(Protocol):
    """What it needs to speak."""

    def step(self, text: str) -> None: ...
    def good(self, text: str) -> None: ...
    def bad(self, text: str) -> None: ...


class Pause(Protocol):
    """Waiting that a request to stop ends by raising StopRequestedError."""

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How long to wait before a part that died is started again: longer each time, until it has lived a while."""

    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    steady_after_s: float = 60.0

    def delay_s(self, deaths: int) -> float:
        """The delay after the n-th death in a row, counted from 1."""
        return min(self.first_delay_s * 2.0 ** min(deaths - 1, 16), self.longest_delay_s)


@dataclass(slots=True)
class _Life:
    """Where one part stands."""

    started_at: float = 0.0
    deaths: int = 0
    start_again_at: float | None = None
    ready: bool = False


class Supervisor:
    """Holds the parts in the order in which they were started."""

    def __init__(
        self, voice: Voice, pause: Pause, monotonic: Callable[[], float], policy: RestartPolicy | None = None
    ) -> None:
        self._voice = voice
        self._pause = pause
        self._monotonic = monotonic
        self._policy = policy or RestartPolicy()
        self._parts: list[tuple[Part, _Life]] = []

    def start(self, parts: Sequence[Part], timeout_s: float) -> None:
        """Prepares the parts side by side, starts them, and returns when all are ready.

        Raises ServerError for the first that cannot be prepared, ends, or is not ready after `timeout_s`.
        """
        self._prepare(parts)
        for part in parts:
            self._parts.append((part, _Life(started_at=self._monotonic())))
            part.start()
        deadline = self._monotonic() + timeout_s
        waiting = [(part, life) for part, life in self._parts if part in parts]
        while waiting:
            for part, life in list(waiting):
                if part.is_ready():
                    life.ready = True
                    waiting.remove((part, life))
                    self._voice.good(f"{part.name} is ready")
            if waiting and self._monotonic() > deadline:
                names = ", ".join(part.name for part, _ in waiting)
                raise ServerError(
                    f"{names} not ready after {timeout_s:.0f} s; see {waiting[0][0].child.launch.log_path}"
                )
            self._pause.sleep(_POLL_INTERVAL_S if waiting else 0)

    def _prepare(self, parts: Sequence[Part]) -> None:
        faults: list[Exception] = []

        def prepare(part: Part) -> None:
            try:
                part.prepare()
            except OSError as error:
                faults.append(ServerError(f"{part.name} cannot be prepared: {in_words(error)}"))
            except Exception as error:
                faults.append(error)

        # Daemons, so that a request to stop need not wait for a download.
        threads = {part.name: threading.Thread(target=prepare, args=(part,), daemon=True) for part in parts}
        for thread in threads.values():
            thread.start()
        say_at = self._monotonic() + _SAY_INTERVAL_S
        while (busy := [name for name, thread in threads.items() if thread.is_alive()]) and not faults:
            if self._monotonic() >= say_at:
                self._voice.step(f"still preparing {', '.join(busy)}")
                say_at += _SAY_INTERVAL_S
            self._pause.sleep(_POLL_INTERVAL_S)
        if faults:
            raise faults[0]

    def watch(self) -> None:
        """Starts again what dies, until a request to stop is raised out of the pause."""
        while True:
            for part, life in self._parts:
                self._look_after(part, life)
            self._pause.sleep(_POLL_INTERVAL_S)

    def _look_after(self, part: Part, life: _Life) -> None:
        now = self._monotonic()
        if life.start_again_at is not None:
            if now >= life.start_again_at:
                self._start_again(part, life)
        elif not part.running:
            if part.ends_when_done and part.child.exit_code == 0:
                self._start_again(part, life)
                return
            self._bury(part, life, f"{part.name} ended ({ending(part.child.exit_code)})")
        elif not life.ready and _is_ready(part):
            life.ready = True
            self._voice.good(f"{part.name} is ready again")

    def _bury(self, part: Part, life: _Life, what: str) -> None:
        now = self._monotonic()
        if now - life.started_at >= self._policy.steady_after_s:
            life.deaths = 0
        life.deaths += 1
        life.ready = False
        delay_s = self._policy.delay_s(life.deaths)
        life.start_again_at = now + delay_s
        self._voice.bad(f"{what}; starting it again in {delay_s:g} s (log: {part.child.launch.log_path})")

    def _start_again(self, part: Part, life: _Life) -> None:
        life.start_again_at = None
        life.started_at = self._monotonic()
        try:
            part.start()
        except ServerError as error:
            self._bury(part, life, f"{part.name} cannot start: {str(error).splitlines()[0]}")
        except OSError as error:  # A full disk, say; whoever watches makes room, and it goes on.
            self._bury(part, life, f"{part.name} cannot start: {in_words(error)}")

    @property
    def any_running(self) -> bool:
        """Whether there is anything to stop."""
        return any(part.running for part, _ in self._parts)

    def stop(self, order: Sequence[tuple[Sequence[str], float]]) -> None:
        """Stops the parts group by group: names (or what they begin with) and the seconds a group may take.

        What is left of a group after its time is killed. It is said once the first group knows.
        """
        said = False
        for names, timeout_s in order:
            group = [part for name in names for part, _ in self._parts if part.name.split("-")[0] == name]
            for part in group:
                if part.running:
                    part.request_stop()
            if not said:
                self._voice.step("stopping")
                said = True
            deadline = self._monotonic() + timeout_s
            for part in group:
                self._end(part, deadline)

    def _end(self, part: Part, deadline: float) -> None:
        if not part.running or part.child.wait(deadline - self._monotonic()) is not None:
            return
        part.child.kill()
        self._voice.bad(f"{part.name} did not stop in time; killed")


def _is_ready(part: Part) -> bool:
    try:
        return part.is_ready()
    except ServerError:  # It ended between two looks; the next one finds it so.
        return False


def ending(code: int | None) -> str:
    """An exit code in words."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
