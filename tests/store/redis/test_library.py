"""The Lua functions as text: what is filled in from Python, and what luacheck says of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from optserve.contract.history import EventKind
from optserve.contract.states import Reason, State
from store.redis.keys import TEMPLATES
from store.redis.library import library, parts

ROOT = Path(__file__).parents[3]
SOURCE = "\n".join(parts().values())


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        (r"\bSTATE\.(\w+)", set(State)),
        (r"\bREASON\.(\w+)", set(Reason)),
        (r"\bEVENT\.(\w+)", set(EventKind)),
        (r"\bkey\('(\w+)'", set(TEMPLATES)),
    ],
)
def test_a_name_that_lua_uses_is_declared_in_python(pattern: str, known: set[str]) -> None:
    """Of a table that lacks the name Lua would read nil, and go on."""
    used = set(re.findall(pattern, SOURCE))

    assert used
    assert used <= known


def test_every_request_has_its_kind_of_event() -> None:
    assert {f"{action}_requested" for action in ("cancel", "kill", "pause")} <= set(EventKind)


def test_everything_is_filled_in() -> None:
    assert re.findall("@[A-Z_]+@", library()) == []


def test_each_file_of_the_folder_is_part_of_the_library() -> None:
    folder = ROOT / "store" / "redis" / "lua"

    assert {path.stem for path in folder.iterdir()} == set(parts())


def test_a_function_names_its_arguments_where_it_begins() -> None:
    """Arguments are unpacked by name in the first line: an index does not say what it is."""
    indexed = re.findall(r"args\[[^]]+\]", SOURCE)

    assert set(indexed) <= {"args[1]", "args[2]"}
    assert len(indexed) <= 3  # of functions that take a list after one or two arguments


def test_luacheck_finds_nothing() -> None:
    tool = shutil.which("luacheck")
    if tool is None:
        pytest.skip("luacheck is not installed (Debian: lua-check)")

    done = subprocess.run(
        [tool, "--no-color", "-"],
        input=library(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
