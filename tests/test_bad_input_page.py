"""Holds docs/bad-input.md to the inputs that the fault tests send."""

from __future__ import annotations

import re

from tests.faults.bad_inputs import INPUTS, STORED
from tests.source_tree import ROOT

PAGE = (ROOT / "docs/bad-input.md").read_text(encoding="utf-8")


def test_each_input_stands_in_the_page_with_what_becomes_of_it() -> None:
    for group, cases in INPUTS.items():
        section = PAGE.partition(f"## {group}\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| ([^|]+) \| `?(\w+)`? \| [^|]*\|$", section, re.MULTILINE)
        expected = [(case.name, STORED if case.outcome == STORED else case.outcome) for case in cases]
        assert [row for row in rows if row[0] != "input"] == expected, group


def test_no_two_inputs_have_one_name() -> None:
    names = [case.name for cases in INPUTS.values() for case in cases]
    assert len(set(names)) == len(names)
