"""200 hostile strings in every field: shown as what they are, never as what they say; and found by what they are."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from query_api.filter_language.expressions import Attribute, Exists, Field
from query_api.filter_language.matching import Candidate, matches
from query_api.filter_language.parse import MAX_CHARS, parse
from tests.e2e.page.conftest import Served
from tests.e2e.page.hostile_strings import HOSTILE
from tests.e2e.page.sample_events import address, hostile
from tests.e2e.page.screen import GIVEN, Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
# What the page shows of a text at first.
LINE, DETAIL, LABEL = 400, 4_000, 290
# Names and texts of the fields of open events.
OPENED = f"""events => events.map(event => ["dt bdi", "bdi.text"].map(
  place => [...event.querySelectorAll(place)].map({GIVEN})))"""
# What the page would write of each text as the value of an attribute.
CONDITIONS = """async texts => {
  const folder = document.querySelector("script[type=module]").src.replace("main.js", "");
  const { condition } = await import(folder + "filter_text.js");
  return texts.map(text => condition("attributes.key", text));
}"""


def meaning(text: str) -> str | Decimal:
    """What is one value in the language: the same number, or the same text but for capitals of ASCII."""
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text):
        return Decimal(text)
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def cut(text: str, units: int) -> str:
    """At most so many units of UTF-16, never half a character."""
    encoded = text.encode("utf-16-le", "surrogatepass")[: 2 * units]
    return encoded.decode("utf-16-le", "ignore")


def test_hostile_strings_in_every_field_are_shown_literally(shown: Screen, served: Served) -> None:
    assert len(HOSTILE) >= 200
    shown.open(address(served.times.hostile, timedelta(minutes=10)))
    shown.shows(f"{len(HOSTILE)} events")
    while (more := shown.button("Next 100")).count():
        before = shown.lines.count()
        more.click()
        shown.page.wait_for_function("count => document.querySelectorAll('.line').length > count", arg=before)
    newest_first = [hostile(served.times, number) for number in reversed(range(len(HOSTILE)))]
    assert shown.all_given(shown.page.locator(".line .source")) == [cut(event["source"], 120) for event in newest_first]
    assert shown.all_given(shown.page.locator(".line .message")) == [
        cut(event["message"], LINE).replace("\n", "\u23ce") for event in newest_first
    ]
    # The click of a person, on each; waiting for two hundred of them one by one would say no more.
    shown.page.evaluate("document.querySelectorAll('.line').forEach(line => line.click())")
    details: list[list[list[str]]] = shown.page.locator(".event").evaluate_all(OPENED)
    for event, (names, values) in zip(newest_first, details, strict=True):
        assert values[2:4] == [cut(event["source"], DETAIL), cut(event["message"], DETAIL)]
        ((key, text), _) = event["attributes"].items()
        at = 4 if names[5] == "number" else 5
        assert values[at] == cut(text, DETAIL)
        if len(key) < LABEL:
            assert parse(f"attributes.{names[at]}:*") == Field(Attribute((key,)), Exists()), key
    assert shown.page.locator(".detail script, .detail img, .line img, .events a, .events iframe").count() == 0
    assert "alert" not in shown.page.title()


def test_what_is_included_of_a_hostile_text_is_found_and_what_is_excluded_is_not(shown: Screen, served: Served) -> None:
    """A filter made by a click means exactly the value it was made of, read by the language's own parser."""
    shown.open(address(served.times.hostile, timedelta(minutes=10)))
    shown.shows(f"{len(HOSTILE)} events")
    texts: list[str] = shown.page.evaluate(CONDITIONS, HOSTILE)
    candidates = [Candidate(0, text, text, {"key": text}) for text in HOSTILE]
    for text, condition in zip(HOSTILE, texts, strict=True):
        if len(condition) <= MAX_CHARS:
            expression = parse(condition)
            found = {candidate.message for candidate in candidates if matches(expression, candidate)}
            assert text in found, condition
            assert {meaning(one) for one in found} == {meaning(text)}, condition


def test_a_hostile_value_is_included_by_a_click(shown: Screen, served: Served) -> None:
    number = HOSTILE.index("{{7*7}}")
    moment = served.times.hostile + timedelta(seconds=number)
    shown.open(address(moment, timedelta(seconds=1)))
    shown.shows("1 event")
    shown.lines.first.click()
    row = shown.page.locator(".field-row").filter(has_text="{{7*7}}").last
    row.get_by_role("button", name="Include").click()
    expect(shown.filter).to_have_value('attributes."{{7*7}}":"{{7*7}}"')
    shown.shows("1 event")
    shown.lines.first.click()
    row.get_by_role("button", name="Exclude").click()
    shown.shows("0 events")
