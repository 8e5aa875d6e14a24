"""Log lines: one JSON object each, and a repeated one at most once in ten seconds."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from threatlog.process.logs import REPEAT_INTERVAL_S, JsonFormatter, RepeatFilter, RepeatHandler


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def record(text: str = "stored", *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    """A record of the logger `part`."""
    made = logging.LogRecord("part", level, "part.py", 1, text, args, None)
    made.created, made.msecs = 1_795_514_400.25, 250.0
    vars(made).update(extra)
    return made


def line(made: logging.LogRecord) -> Mapping[str, Any]:
    """The decoded line."""
    text = JsonFormatter("stream").format(made)
    assert "\n" not in text
    decoded: Mapping[str, Any] = json.loads(text)
    return decoded


def test_a_line_names_its_moment_level_service_logger_and_message() -> None:
    assert line(record("stored %s", 5)) == {
        "ts": "2026-11-24T10:00:00.250Z",
        "level": "INFO",
        "service": "stream",
        "logger": "part",
        "msg": "stored 5",
    }


def test_what_is_given_as_extra_stands_in_the_line() -> None:
    assert line(record(partition=3, offsets={1: 2}))["offsets"] == {"1": 2}


def test_a_value_that_json_does_not_know_is_shown_as_text() -> None:
    assert line(record(why=OSError("gone")))["why"] == "gone"


def test_a_message_of_several_lines_stays_one_line() -> None:
    assert line(record("first\nsecond"))["msg"] == "first\nsecond"


def test_an_exception_stands_in_its_line() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    assert line(made)["exception"].endswith("ValueError: odd")


def test_a_repeated_message_passes_once_in_ten_seconds_with_the_number_held_back() -> None:
    clock = Clock()
    repeats = RepeatFilter(clock)
    assert repeats.filter(record("away: %s", 1))
    for number in range(5):
        clock.now_s += 1
        assert not repeats.filter(record("away: %s", number))
    clock.now_s = REPEAT_INTERVAL_S
    again = record("away: %s", 9)
    assert repeats.filter(again)
    assert line(again)["repeated"] == 5


def test_the_same_text_at_another_level_or_of_another_logger_is_another_message() -> None:
    repeats = RepeatFilter(Clock())
    other = record()
    other.name = "elsewhere"
    assert all(repeats.filter(made) for made in (record(), record(level=logging.ERROR), other))


def test_a_loss_on_each_of_three_partitions_is_three_messages() -> None:
    repeats = RepeatFilter(Clock())
    losses = [record("events lost", level=logging.ERROR, partition=number, from_offset=0) for number in range(3)]
    assert all(map(repeats.filter, losses))
    assert not repeats.filter(record("events lost", level=logging.ERROR, partition=1, from_offset=0))


def test_an_outage_told_with_other_words_each_time_stays_one_message() -> None:
    repeats = RepeatFilter(Clock())
    passed = [repeats.filter(record("PostgreSQL is away", why=f"port {number}")) for number in range(20)]
    assert passed == [True] + [False] * 19


def written_by(stream: io.StringIO) -> list[tuple[str, object]]:
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    return [(decoded["msg"], decoded.get("repeated")) for decoded in lines]


def test_the_number_of_a_message_that_comes_no_more_is_written_with_the_next_line() -> None:
    clock, stream = Clock(), io.StringIO()
    handler = RepeatHandler(stream, RepeatFilter(clock))
    handler.setFormatter(JsonFormatter("stream"))
    for text in ("away", "away", "away", "other"):
        handler.handle(record(text))
    assert written_by(stream) == [("away", None), ("other", None)]
    clock.now_s = REPEAT_INTERVAL_S
    handler.handle(record("back"))
    handler.handle(record("on"))
    assert written_by(stream)[2:] == [("away", 2), ("back", None), ("on", None)]


def test_the_number_of_a_message_held_back_is_written_at_the_end() -> None:
    stream = io.StringIO()
    handler = RepeatHandler(stream, RepeatFilter(Clock()))
    handler.setFormatter(JsonFormatter("stream"))
    for _ in range(3):
        handler.handle(record("away"))
    handler.close()
    assert written_by(stream) == [("away", None), ("away", 2)]


def test_what_is_remembered_of_messages_is_bounded() -> None:
    repeats = RepeatFilter(Clock())
    for number in range(5000):
        assert repeats.filter(record(f"message {number}"))
    assert len(repeats._seen) <= 1001


def test_a_process_writes_its_lines_to_standard_error_and_holds_others_to_warnings() -> None:
    program = (
        "import logging; from threatlog.process.logs import configure_logs; configure_logs('gateway', 'INFO');"
        "logging.getLogger('aiokafka').info('chatter'); logging.getLogger('aiokafka').warning('trouble');"
        "logging.getLogger('part').debug('detail'); logging.getLogger('part').info('news')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == ""
    assert [json.loads(text)["msg"] for text in ran.stderr.splitlines()] == ["trouble", "news"]
