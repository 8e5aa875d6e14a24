"""Importing a module of the product opens, starts, reads and makes nothing, and what it imports can be seen."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.source_tree import PACKAGES, Module, source_modules

# Whoever calls into these makes or opens something.
BUILDERS = frozenset(
    {"aiokafka", "asyncpg", "faust", "mode", "psycopg", "redis", "yoyo", "aiohttp", "httpx", "fastapi", "uvicorn"}
    | {"prometheus_client", "socket", "subprocess", "threading", "multiprocessing", "tempfile", "sqlite3", "importlib"}
)
CALLS = frozenset({"open", "__import__", "os.getenv", "sys.exit"})
LOADERS = frozenset({"Settings"})
# Functions of our own that begin so make or start something.
OWN_VERBS = ("create_", "build_", "open_", "start_", "run_", "load_", "connect")
# Methods that read or change files, whatever they are called on.
FILE_METHODS = frozenset(
    {"read_text", "read_bytes", "write_text", "write_bytes", "touch", "mkdir", "exists", "is_file", "iterdir", "glob"}
)
STATE = frozenset({"os.environ", "sys.argv"})


def _run_at_import(tree: ast.Module) -> Iterator[ast.expr]:
    """The expressions evaluated when a module is imported: no bodies of functions, nothing under `__main__`."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
            waiting += getattr(node, "decorator_list", [])
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"):
            if isinstance(node, ast.expr):
                yield node
            waiting += list(ast.iter_child_nodes(node))


def _bindings(tree: ast.Module) -> dict[str, str]:
    """Local name -> the module it comes from, or for `from x import y` the dotted `x.y`."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return bound


def _dotted(node: ast.expr, bound: dict[str, str]) -> str:
    """What a name or attribute stands for, such as `os.environ`; empty for anything else."""
    if isinstance(node, ast.Name):
        return bound.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, bound)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def _acts(call: ast.Call, bound: dict[str, str], own: frozenset[str]) -> bool:
    name = _dotted(call.func, bound)
    first, last = name.split(".")[0], name.rpartition(".")[2]
    if first in BUILDERS or name in CALLS or last in LOADERS:
        return True
    if isinstance(call.func, ast.Attribute) and call.func.attr in FILE_METHODS:
        return True
    return (first in PACKAGES or name in own) and last.startswith(OWN_VERBS)


def at_import(tree: ast.Module) -> list[str]:
    """What a module does while it is imported and must not."""
    bound = _bindings(tree)
    own = frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    faults = []
    for node in _run_at_import(tree):
        if isinstance(node, ast.Call) and _acts(node, bound, own):
            faults.append(f"{node.lineno} {ast.unparse(node)[:80]}")
        elif isinstance(node, ast.Attribute | ast.Name) and _dotted(node, bound) in STATE:
            faults.append(f"{node.lineno} reads {ast.unparse(node)}")
    return faults


def test_nothing_is_built_or_read_at_import() -> None:
    faults = [
        f"{module.path}:{fault}"
        for module in source_modules()
        # It defines the frozen default values themselves.
        if module.path != "threatlog/process/settings.py"
        for fault in at_import(module.tree)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text",
    [
        "from query_api.app import create_app\napp = create_app()",
        "def create_app(): ...\napp = create_app()",
        "import query_api.app\napp = query_api.app.create_app()",
        "from pathlib import Path\nTEXT = Path('x').read_text()",
        "from pathlib import Path\nHERE = Path(__file__)\nTEXT = (HERE / 'x').read_bytes()",
        "TEXT = open('x').read()",
        "import os\nHOST = os.getenv('HOST')",
        "from os import getenv\nHOST = getenv('HOST')",
        "import os\nHOST = os.environ['HOST']",
        "from os import environ\nHOST = environ.get('HOST')",
        "import os as system\nHOST = system.environ",
        "import importlib\nmodule = importlib.import_module('faust')",
        "from importlib import import_module\nmodule = import_module('faust')",
        "def serve(app=__import__('faust')): ...",
        "import redis\nclass Store:\n    client = redis.Redis()",
        "from threatlog.process.load_settings import load_settings\nSETTINGS = load_settings({})",
        "import sys\nNAME = sys.argv[0]",
    ],
)
def test_what_acts_at_import_is_noticed(text: str) -> None:
    assert at_import(ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "from query_api.app import create_app\ndef main():\n    return create_app()",
        "import os\ndef host():\n    return os.environ['HOST']",
        "if __name__ == '__main__':\n    import os\n    print(os.getenv('X'))",
        "from pathlib import Path\nHERE = Path(__file__).parent",
    ],
)
def test_what_waits_until_it_is_called_may_be_there(text: str) -> None:
    assert not at_import(ast.parse(text))


def test_every_dynamic_import_names_its_module() -> None:
    faults = [f"{module.path}:{line}" for module in source_modules() for line in module.unnamed_imports]
    assert not faults, "the rules cannot see what these import:\n" + "\n".join(faults)


def test_a_dynamic_import_is_an_import_to_every_rule() -> None:
    text = "import importlib\ndef late(name):\n    importlib.import_module('faust')\n    __import__(name)\n"
    module = Module("stream_app/x.py", text)
    assert "faust" in module.imports
    assert module.unnamed_imports == (4,)
