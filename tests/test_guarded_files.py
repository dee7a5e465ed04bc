"""Requests reach files only through the pool, read from the source: else a hung mount holds all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_MODULES = {"fileinput", "glob", "mmap", "os", "pathlib", "shutil", "tempfile"}
"""What leads to a file: a module of the API needs none of it."""
FILE_ANSWERS = {"FileResponse", "StaticFiles"}
OPENS_NOTHING = {"api.http.downloads"}
"""Derives from starlette's answer, and gives it a file that is open."""
STORAGE_FUNCTIONS = {"archive", "archived", "starting_state"}
"""Modules of ours whose functions are called on files."""
POOL = {"read", "copy", "_read"}
"""Methods that call what they are given in a thread of the pool."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in [*sorted((ROOT / "api").rglob("*.py")), ROOT / "store" / "jobs" / "views.py"]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield module, path


def unguarded(module: str, source: str) -> list[str]:
    """Return what in the source of *module* would touch a file in a thread that others need."""
    tree = ast.parse(source)
    return [
        f"line {getattr(node, 'lineno', 0)}: {what}"
        for node in ast.walk(tree)
        for what in _touched(module, node, tree)
    ]


def _touched(module: str, node: ast.AST, tree: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (name.name for name in names if name.name.split(".")[0] in FILE_MODULES)
        case ast.ImportFrom(module=str(name)) if name.split(".")[0] in FILE_MODULES:
            yield name
        case ast.Name(id=name) if name in FILE_ANSWERS and module not in OPENS_NOTHING:
            yield name
        case ast.Call(func=ast.Name(id="open")):
            yield "open"
        case ast.Attribute(attr=attr) if _reaches_files(node.value) and not _pooled(node, tree):
            yield attr
        case ast.FunctionDef() if any(map(_is_route, node.decorator_list)):
            yield from (f"a route that blocks has {name}" for name in _given(node))


def _reaches_files(node: ast.expr) -> bool:
    """Return whether the attributes of this are functions on files."""
    match node:
        case ast.Name(id=name):
            return name in STORAGE_FUNCTIONS or name.strip("_") == "storage"
        case ast.Attribute(attr=name):
            return name.strip("_") == "storage"
    return False


def _pooled(node: ast.AST, tree: ast.AST) -> bool:
    """Return whether this is only handed to the pool."""
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in POOL
        and node in call.args
        for call in ast.walk(tree)
    )


def _is_route(decorator: ast.expr) -> bool:
    return (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and isinstance(decorator.func.value, ast.Name)
        and decorator.func.value.id in ("router", "app")
    )


def _given(route: ast.FunctionDef) -> Iterator[str]:
    for argument in (*route.args.args, *route.args.kwonlyargs):
        if argument.annotation is not None and "StoredFiles" in ast.unparse(argument.annotation):
            yield "StoredFiles"


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-60:])
def test_requests_reach_files_only_through_the_pool(module: str, path: Path) -> None:
    assert unguarded(module, path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "import shutil",
        "from pathlib import Path",
        "import os.path",
        "open('a')",
        "storage.path(name)",
        "self._files.storage.size(name)",
        "starting_state.take(storage, source)",
        "await run_in_threadpool(starting_state.forget, new)",
        "await asyncio.to_thread(files.storage.size, name)",
        "return FileResponse(path)",
        "app.mount('/a', StaticFiles(directory='a'))",
        "@router.get('/a')\ndef read(files: StoredFiles) -> None: ...",
    ],
)
def test_a_file_that_is_reached_otherwise_is_seen(line: str) -> None:
    assert unguarded("api.jobs.routes", line)


@pytest.mark.parametrize(
    "line",
    [
        "await files.read(name, 0, files.storage.size, name)",
        "await self._read(reader.rows, file, first=first)",
        "await files.copy(name, 0, starting_state.take, files.storage, unwanted=event)",
        "@router.get('/a')\nasync def read(files: StoredFiles) -> None: ...",
    ],
)
def test_what_the_pool_is_given_is_left_alone(line: str) -> None:
    assert unguarded("api.jobs.routes", line) == []
