"""The page on resiliency names tests that exist, and every fault test stands in it under its row."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.report import BEGIN, END, FaultReport
from tests.source_tree import ROOT

# Without the table of the last run, whose rows name no tests.
PAGE = (ROOT / "docs/resiliency.md").read_text(encoding="utf-8").partition(BEGIN)[0]
ROWS = {
    match["row"]: set(re.findall(r"`(test_\w+)`", match["rest"]))
    for match in re.finditer(r"^\| (?P<row>[A-Z]\d+) \|(?P<rest>.*\|.*\|.*)\|$", PAGE, re.MULTILINE)
}


def row_of_each_test() -> dict[str, str]:
    """Every test function, and the row it is marked with."""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found[node.name] = next((row for mark in node.decorator_list if (row := row_of(mark))), "")
    return found


def row_of(mark: ast.expr) -> str:
    """The row of a `@row("A1")`."""
    if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "row":
        argument = mark.args[0]
        assert isinstance(argument, ast.Constant)
        return str(argument.value)
    return ""


def test_every_row_names_tests_that_exist() -> None:
    known = row_of_each_test()
    assert len(ROWS) >= 25
    assert not {name for names in ROWS.values() for name in names} - known.keys()
    assert all(ROWS.values())


def test_every_fault_test_stands_under_its_row() -> None:
    marked = {(row, name) for name, row in row_of_each_test().items() if row}
    assert marked
    assert not [f"{row}: {name}" for row, name in marked if name not in ROWS.get(row, ())]


def test_what_was_seen_is_written_between_the_marks(tmp_path: Path) -> None:
    report = FaultReport()
    report.add("A10", "passed", ["10 kills"])
    report.add("A2", "passed", [])
    report.add("A2", "failed", [])
    report.add("B6", "void", ["nothing | much"])
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    report.write(3, "full", page)
    lines = page.read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert [line for line in lines if line.startswith("| ")][1:] == [
        "| --- | --- | --- | --- |",
        "| A2 | 2 | **1 failed** |  |",
        "| A10 | 1 | held | 10 kills |",
        "| B6 | 1 | 1 void | nothing / much |",
    ]
    assert "3 seeds, full runs" in report.markdown(datetime.now(UTC), 3, "full")
