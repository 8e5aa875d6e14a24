"""A server in a container keeps its data through a stop, as an embedded one does, until it is removed."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.containers import ContainerServer


@dataclass
class Engine:
    """A container as docker and testcontainers show it; removing it is the only thing that loses its data."""

    status: str = "created"
    calls: list[str] = field(default_factory=list)

    def get_wrapped_container(self) -> EngineView:
        return EngineView(self)

    def start(self) -> None:
        self.calls.append("create")
        self.status = "running"

    def stop(self) -> None:
        self.calls.append("remove")
        self.status = "removed"


@dataclass
class EngineView:
    """The docker client's side of it."""

    engine: Engine

    @property
    def status(self) -> str:
        return self.engine.status

    def reload(self) -> None: ...

    def start(self) -> None:
        self.engine.calls.append("start")
        self.engine.status = "running"

    def stop(self, timeout: int) -> None:  # noqa: ARG002 - the client's signature
        self.engine.calls.append("stop")
        self.engine.status = "exited"


def test_a_stopped_container_starts_again_with_its_data_and_is_removed_only_at_the_end() -> None:
    engine = Engine()
    server = ContainerServer("postgres", 5432, engine, lambda _port: True)
    running = []
    for step in (server.start, server.stop, server.start, server.stop, server.remove):
        step()
        running.append(server.running)
    assert engine.calls == ["create", "stop", "start", "stop", "remove"]
    assert running == [True, False, True, False, False]
