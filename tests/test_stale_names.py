"""Files and classes that texts name are there: a file that moves takes its mentions along."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from optserve.client import errors as client_errors
from store import errors as store_errors
from tests.support.checkout import ROOT

FOLDERS = (
    "optcore",
    "store",
    "control",
    "api",
    "worker",
    "optserve",
    "benchmarks",
    "docs",
    "tests",
)
SUFFIXES = (".py", ".lua", ".md", ".toml")
NAMES_OTHERS = ("CHANGELOG.md", "test_words.py", "test_stale_names.py")
"""Files that name what was once there, or what is not to be there."""
MADE = {"docs/gpu.md"}
"""Pages that a command writes, and that are not kept."""
FILE = re.compile(rf"(?<![\w./~{{}}$-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w\.(?:py|lua|md|toml)\b")
LUA = re.compile(r"(?<![\w./-])\w+\.lua\b")
LINK = re.compile(r"\]\(([\w./-]+\.\w+)(?:#[\w-]+)?\)")
TREE = re.compile(r"^ {4,}([A-Z]\w+)", re.MULTILINE)


def texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of the checkout, with their content."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    for path in [*ROOT.glob("*"), *found]:
        if path.suffix in suffixes and path.name not in NAMES_OTHERS:
            yield path, path.read_text()


def test_files_that_are_named_by_their_path_are_there() -> None:
    named = [
        (str(path.relative_to(ROOT)), name)
        for path, text in texts(*SUFFIXES)
        for name in FILE.findall(text)
    ]

    assert len(named) > 100
    assert not [each for each in named if each[1] not in MADE and not (ROOT / each[1]).exists()]


def test_lua_files_that_are_named_are_there() -> None:
    there = {path.name for path in (ROOT / "store" / "redis" / "lua").iterdir()}
    named = [
        (str(path.relative_to(ROOT)), name)
        for path, text in texts(*SUFFIXES)
        for name in LUA.findall(text)
    ]

    assert named
    assert not [each for each in named if each[1] not in there]


def test_links_between_pages_lead_somewhere() -> None:
    links = [(path, link) for path, text in texts(".md") for link in LINK.findall(text)]

    assert len(links) > 50
    assert not [(path, link) for path, link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("module", [store_errors, client_errors])
def test_the_tree_of_errors_has_each_class_of_its_module(module: ModuleType) -> None:
    classes = inspect.getmembers(module, inspect.isclass)
    defined = {name for name, each in classes if each.__module__ == module.__name__}

    assert set(TREE.findall(module.__doc__ or "")) == defined
