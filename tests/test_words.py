"""Words that have been replaced are not used again."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "words"


def listed(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Return the end of ``scripts/words``."""
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_replaced_word_that_is_still_used_has_a_reason() -> None:
    done = listed()

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("worker/new.py", "class NewsDesk:\n    desk = 1\n", "worker/new.py:2: desk: desk = 1"),
        ("api/new.py", '"""Whoever reads it."""\n', "api/new.py:1: whoever: "),
        ("api/new.py", "x = 1  # training goes on\n", "api/new.py:1: goes on: "),
        ("control/new.py", 'FIELDS = {"a": 1, "cuts": 2}\n', "control/new.py:1: cut: "),
        ("store/redis/lua/new.lua", "local kept_rows = 1\n", "store/redis/lua/new.lua:1: kept: "),
        ("store/redis/lua/new.lua", "-- rings the bell\n", "store/redis/lua/new.lua:1: bells: "),
    ],
)
def test_a_new_use_is_found(tmp_path: Path, path: str, source: str, found: str) -> None:
    new = tmp_path / path
    new.parent.mkdir(parents=True)
    new.write_text(source)

    done = listed(tmp_path)

    assert found in done.stdout
    assert done.returncode == 1


def test_a_reason_without_a_use_is_found(tmp_path: Path) -> None:
    done = listed(tmp_path)

    assert "store/settings.py: patience: no longer used here; delete the reason" in done.stdout
    assert done.returncode == 1


def test_the_fields_own_use_is_not_listed(tmp_path: Path) -> None:
    new = tmp_path / "optcore" / "new.py"
    new.parent.mkdir()
    new.write_text('"""Measured on held-out examples; who asks? See the doorbell, by weight."""\n')

    assert "optcore/new.py" not in listed(tmp_path).stdout
