"""The examples of the README: each a shell command, the status it says it is answered with, and the answer it shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
_EXAMPLE = re.compile(
    r"```sh\n(?P<command>.*?)```\n\n(?P<status>\d{3})[^\n]*(?:\n[^\n`]+)*\n\n```json\n(?P<answer>.*?)```", re.S
)
_SHELL = re.compile(r"```sh\n")
# What these fields hold is promised to the letter; of the others only the kind of value is.
EXACT = frozenset(
    {"status", "code", "retryable", "type", "title", "detail", "severity", "source", "message", "attributes", "errors"}
    | {"accepted", "rejected", "count", "total", "by_severity", "by_source", "kafka", "postgres", "redis"}
)
# These hold what a run happens to have; `id` only where the sender gave it.
_ANY_KIND = frozenset(
    {"next_cursor", "worker", "oldest_unstored_age_s", "avg_query_latency_ms", "p95_query_latency_ms"}
)


@dataclass(frozen=True, slots=True)
class Example:
    """One example; `answer` is the decoded JSON."""

    command: str
    status: int
    answer: Any


def examples() -> list[Example]:
    """All of them, in order: later ones ask for what earlier ones sent."""
    text = README.read_text(encoding="utf-8")
    found = [Example(m["command"], int(m["status"]), json.loads(m["answer"])) for m in _EXAMPLE.finditer(text)]
    assert len(found) == len(_SHELL.findall(text)), "every sh block is followed by a status and a json block"
    return found


def differences(shown: Any, answered: Any, path: str = "", *, exact: bool = False) -> list[str]:
    """Where the answer is not of the shape that is shown, or not equal where that is promised."""
    if exact:
        return [] if shown == answered else [_differs(shown, answered, path)]
    if shown is None or answered is None or path.rpartition(".")[2] in _ANY_KIND:
        return []
    if isinstance(shown, dict) and isinstance(answered, dict):
        return _of_objects(shown, answered, path)
    if isinstance(shown, list) and isinstance(answered, list):
        # A list of more items than are shown repeats the last one.
        pairs = [(shown[min(index, len(shown) - 1)], item) for index, item in enumerate(answered)] if shown else []
        return [fault for index, pair in enumerate(pairs) for fault in differences(*pair, f"{path}[{index}]")]
    numbers = isinstance(shown, int | float) and isinstance(answered, int | float)
    return [] if numbers or type(shown) is type(answered) else [_differs(shown, answered, path)]


def _of_objects(shown: dict[str, Any], answered: dict[str, Any], path: str) -> list[str]:
    if set(shown) != set(answered):
        return [f"{path} has {sorted(answered)}, shown is {sorted(shown)}"]
    return [
        fault
        for key, value in shown.items()
        for fault in differences(value, answered[key], f"{path}.{key}", exact=_promised(key, value))
    ]


def _differs(shown: object, answered: object, path: str) -> str:
    return f"{path} is {answered!r}, shown is {shown!r}"


def _promised(key: str, value: object) -> bool:
    # `total` of the lag is an object of figures.
    return key in EXACT and not (key == "total" and isinstance(value, dict))
