"""The project's files as git knows them, parsed once for the tests that look at the source itself."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("ingest_gateway", "stream_app", "query_api")
PACKAGES = (*SERVICES, "loadgen", "threatlog")
_IMPORTERS = frozenset({"import_module", "__import__"})


@dataclass(frozen=True)
class Module:
    """One parsed source file; `path` is relative to the repository."""

    path: str
    text: str

    @property
    def package(self) -> str:
        return self.path.split("/", 1)[0]

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Every module named by an import, wherever it stands."""
        found: list[str] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: relative imports hide what depends on what"
                if node.module in PACKAGES:
                    found += [f"{node.module}.{alias.name}" for alias in node.names]
                else:
                    found.append(str(node.module))
        return (*found, *(name for call in self._dynamic_imports() if (name := _constant(call))))

    @property
    def unnamed_imports(self) -> tuple[int, ...]:
        """The lines where a module is imported whose name is worked out only then."""
        return tuple(call.lineno for call in self._dynamic_imports() if not _constant(call))

    def _dynamic_imports(self) -> Iterator[ast.Call]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _IMPORTERS:
                yield node


def _constant(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


@lru_cache(maxsize=1)
def tracked_files() -> tuple[str, ...]:
    """The files of the repository that git knows, those not yet committed left out, that still exist."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: there is no list of the project's files")
    return tuple(name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file())


@lru_cache(maxsize=1)
def all_modules() -> tuple[Module, ...]:
    """Every tracked Python file."""
    return tuple(
        Module(name, (ROOT / name).read_text(encoding="utf-8")) for name in tracked_files() if name.endswith(".py")
    )


def source_modules() -> tuple[Module, ...]:
    """The files of the packages that are installed."""
    return tuple(module for module in all_modules() if module.package in PACKAGES)


def functions_of(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
