"""Fixtures that every test may use: real servers, an isolated stack, child processes, and no network in unit tests."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.containers import container_servers, docker_answers
from tests.faults.report import FaultReporter, seeds_of
from tests.processes import Spawner, spawning
from tests.servers import Servers, Stack, StackMaker, embedded_servers, started_on_free_ports

MakeStack = Callable[..., Stack]
_UNIT_TESTS = Path(__file__).parent / "unit"
_guarded = False

# Where the suite runs in the background these are ignored, and children would inherit that: then Ctrl-C and a closed
# terminal, which some tests send them, would be ignored there as well. A handler of our own is not inherited.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the servers come from, and how careful they are with the disk."""
    parser.addoption("--stack", choices=("embedded", "containers"), default="embedded", help="where servers come from")
    parser.addoption("--faults", choices=("short", "full"), default="short", help="how long and often faults strike")
    parser.addoption("--fault-seeds", type=seeds_of, help="20, or 9-16: runs of each fault, which are written down")
    parser.addoption("--pictures", action="store_true", help="make the pictures of the README anew")
    parser.addoption("--no-fsync", action="store_true", help="let PostgreSQL skip fsync: faster, not what runs later")


def pytest_configure(config: pytest.Config) -> None:
    """A full run of the faults is written down, by the process that all results come to."""
    if config.getoption("--fault-seeds") and not hasattr(config, "workerinput"):
        reporter = FaultReporter(config.getoption("--fault-seeds"), config.getoption("--faults"))
        config.pluginmanager.register(reporter)


def pytest_report_header(config: pytest.Config) -> str:
    """Says where the servers come from."""
    wanted = config.getoption("--stack")
    if wanted == "containers" and not docker_answers():
        return "servers: embedded, since no Docker engine answers"
    return f"servers: {wanted}"


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that also the account of PostgreSQL may enter, which pytest's own temporary folders refuse."""
    folder = Path(tempfile.mkdtemp(prefix="threatlog-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(server_folder: Path, pytestconfig: pytest.Config) -> Iterator[Servers]:
    """Kafka, PostgreSQL and Redis, started once for the run on free ports."""
    containers = pytestconfig.getoption("--stack") == "containers" and docker_answers()
    durable = not pytestconfig.getoption("--no-fsync")
    started = started_on_free_ports(
        container_servers if containers else lambda: embedded_servers(server_folder, durable=durable)
    )
    yield started
    started.end()


@pytest.fixture(scope="session")
def stack_maker(servers: Servers) -> StackMaker:
    """Makes stacks; use `stack` or `make_stack`."""
    return StackMaker(servers, str(os.getpid()))


@pytest.fixture
def make_stack(stack_maker: StackMaker, request: pytest.FixtureRequest) -> Iterator[MakeStack]:
    """`make_stack(partitions=4, variables={})`: a stack of its own shape, removed after the test."""
    made: list[Stack] = []
    with_database = request.node.get_closest_marker("no_database") is None

    def make(partitions: int = 4, variables: Mapping[str, str] | None = None) -> Stack:
        made.append(stack_maker.make(partitions, variables or {}, with_database=with_database))
        return made[-1]

    yield make
    for stack in made:
        stack_maker.remove(stack)


@pytest.fixture
def stack(make_stack: MakeStack) -> Stack:
    """An empty, migrated database, an empty topic of four partitions and an empty Redis database."""
    return make_stack()


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawner]:
    """Starts child processes, ends them after the test, and prints their logs, which pytest shows of a failed test."""
    with spawning(tmp_path) as start:
        yield start


@pytest.fixture(autouse=True)
def no_network_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """A unit test that opens a network connection fails; the event loop's own socket pair is none."""
    global _guarded  # noqa: PLW0603 - an audit hook cannot be removed, only told to look away
    in_unit = _UNIT_TESTS in request.path.parents
    _guarded = in_unit and not any(request.node.iter_markers("integration"))
    yield
    _guarded = False


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if _guarded and event in {"socket.connect", "socket.bind"} and isinstance(arguments[1], tuple):
        raise RuntimeError(f"a unit test must not use the network: {event} {arguments[1]}")


sys.addaudithook(_refuse_network)
