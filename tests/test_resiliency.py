"""The page on resiliency names tests that exist, and every fault test stands in it under its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.faults.report import BEGIN, END, Journal, Run, markdown, seeds_of, services_digest, write
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


def run(row: str, number: int, outcome: str, *seen: str) -> Run:
    return Run(row, f"test_{row}[seed-{number}]", outcome, list(seen), 1_795_514_400.0 + number)


def test_what_was_seen_is_written_between_the_marks(tmp_path: Path) -> None:
    runs = [
        run("A10", 1, "passed", "10 kills"),
        run("A2", 1, "passed"),
        run("A2", 2, "failed"),
        run("B6", 3, "void", "nothing | much"),
        run("C1", 4, "failed"),
        run("C1", 4, "passed"),
    ]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write(markdown(runs, seeds_of("3"), "full"), page)
    lines = page.read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert [line for line in lines if line.startswith("| ")][1:] == [
        "| --- | --- | --- | --- |",
        "| A2 | 2 | **1 failed** |  |",
        "| A10 | 1 | held | 10 kills |",
        "| B6 | 1 | 1 void | nothing / much |",
        "| C1 | 1 | held, 1 at a second attempt |  |",
    ]
    assert lines[3].startswith("Ended between 2026-11-24 10:00 and 2026-11-24 10:00 UTC, seeds 1 to 3, full runs, ")
    assert seeds_of("9-16") == range(9, 17)


def test_what_ended_is_kept_for_the_next_run_and_what_passed_is_not_run_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "build" / "faults.jsonl")
    assert (journal.runs(), journal.passed()) == ([], set())
    runs = [run("A1", 1, "passed", "a\nb"), run("A1", 2, "failed"), run("B1", 1, "void")]
    for ended in runs:
        journal.add(ended)
    again = Journal(tmp_path / "build" / "faults.jsonl")

    assert again.runs() == runs
    assert again.passed() == {"test_A1[seed-1]"}


def test_a_change_of_a_service_begins_anew_and_one_of_a_page_does_not(tmp_path: Path) -> None:
    for folder in ("ingest_gateway", "stream_app", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "requirements.lock").write_text("a==1\n", encoding="utf-8")
    (tmp_path / "stream_app" / "fence.py").write_text("1\n", encoding="utf-8")
    before = services_digest(tmp_path)
    (tmp_path / "docs" / "page.md").write_text("2\n", encoding="utf-8")
    assert services_digest(tmp_path) == before
    (tmp_path / "stream_app" / "fence.py").write_text("2\n", encoding="utf-8")
    assert services_digest(tmp_path) != before
