"""Repeats each fault with several seeds where asked, and gives tests their intensity."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from tests.faults.intensity import Intensity, VoidRunError
from tests.faults.report import journal_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run for each seed. The same seeds in every process of a run, and always those that once failed."""
    if "intensity" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--fault-seeds") or range(1, 2)
        marker = metafunc.definition.get_closest_marker("failed_seeds")
        seeds = [*wanted, *(marker.args if marker else ())]
        metafunc.parametrize("intensity", sorted(set(seeds)), indirect=True, ids=lambda seed: f"seed-{seed}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what a run before this one, of the same services, has shown already."""
    if config.getoption("--fault-seeds"):
        passed = journal_of(config.getoption("--faults")).passed()
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]


@pytest.fixture
def intensity(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Intensity:
    """How hard this run strikes."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "a fault test names its row"
    record_property("row", marker.args[0])
    return Intensity(request.config.getoption("--faults") == "full", request.param, record_property)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tells a void run from a failed one, also to the process that reports."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(VoidRunError):
        report.user_properties.append(("void", True))
    return report
