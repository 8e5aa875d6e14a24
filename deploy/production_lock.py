"""Prints the part of requirements.lock that production needs: `production_lock.py [EXTRA ...]`, in the same format.

The lock holds what the tests and a laptop need as well. What is left out here is what only they ask for. The image
installs the rest without asking what it depends on; tests/test_compose.py checks that nothing is missing.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==.*(?:\n[ \t]+.*)*", re.MULTILINE)
_REQUIRED_BY = re.compile(r"^ +#(?: via|  ) +(?P<name>[A-Za-z0-9._-]+)(?:\[.*\])?$", re.MULTILINE)
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def main() -> None:
    """Prints the blocks of the packages that the project and the extras named on the command line need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirement for extra in sys.argv[1:] for requirement in project["optional-dependencies"][extra]]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    sys.stdout.write(production_part(lock, [*project["dependencies"], *extras]))


def production_part(lock: str, requirements: Iterable[str]) -> str:
    """The blocks of `lock` (as uv writes it, with `# via` notes) that `requirements` lead to."""
    blocks = list(_BLOCK.finditer(lock))
    required_by: dict[str, set[str]] = {}
    for block in blocks:
        required_by.setdefault(block["name"], set()).update(_REQUIRED_BY.findall(block[0]))
    kept = _closure({_normal(requirement) for requirement in requirements}, required_by)
    return "".join(f"{block[0]}\n" for block in blocks if block["name"] in kept)


def _normal(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _closure(names: set[str], required_by: Mapping[str, set[str]]) -> set[str]:
    kept = set(names)
    while more := {name for name, users in required_by.items() if name not in kept and users & kept}:
        kept |= more
    return kept


if __name__ == "__main__":
    main()
