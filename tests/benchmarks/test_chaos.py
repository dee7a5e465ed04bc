"""What a soak is made of: its plan, the drafts it looks for, and how it tells what came of it."""

import io
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.chaos import drafts
from benchmarks.chaos.drafts import Drafts
from benchmarks.chaos.report import Report, show
from benchmarks.chaos.strikes import Kind, plan
from optserve.cli.output.terminal import Terminal

KINDS: set[Kind] = set(get_args(Kind))


def test_a_soak_strikes_at_everything_in_the_order_of_its_seed() -> None:
    planned = plan(75, random.Random(7), whole=True)

    assert set(planned) == KINDS
    assert Counter(planned)["trainer"] + Counter(planned)["worker"] + Counter(planned)["api"] == 75
    assert planned == plan(75, random.Random(7), whole=True)
    assert planned != plan(75, random.Random(8), whole=True)


def test_of_somebody_elses_service_only_trainers_are_struck() -> None:
    assert set(plan(75, random.Random(7), whole=False)) == {"trainer", "stop"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage with two jobs: of one all was moved to files, the other is being moved."""
    for name in (
        "a/archive/1-rows.parquet",
        "a/archive/1-events.jsonl",
        "b/archive/1-rows.parquet",
    ):
        path = tmp_path / "jobs" / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def file(storage: Path, name: str) -> Path:
    path = storage / "jobs" / "local" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_draft_is_seen_while_it_is_there(storage: Path) -> None:
    looked = Drafts(storage)
    archived = file(storage, "b/archive/.draft-1")
    cloned = file(storage, "c/.draft-parent/state.json").parent

    assert looked.wait_for("archive draft", 5, then=archived.__eq__)
    assert looked.wait_for("clone draft", 5, then=cloned.__eq__)
    archived.unlink()
    assert not looked.wait_for("archive draft", 0.05, then=Path.exists)


def test_what_is_left_behind_is_found_and_can_be_made_old(storage: Path) -> None:
    looked = Drafts(storage)
    left = file(storage, "c/.draft-parent/state.json")
    young = storage / "jobs" / "local" / "a"

    looked.age()

    assert looked.left() == [left.parent]
    for path in (left, left.parent, left.parent.parent):
        assert os.stat(path).st_mtime <= time.time() - drafts.AGED_S
    assert os.stat(young).st_mtime > time.time() - drafts.AGED_S


def test_a_job_is_archived_once_its_rows_are_however_short_its_history_is(storage: Path) -> None:
    file(storage, "drafted/archive/.draft-rows")

    assert Drafts(storage).unarchived(["a", "b", "none", "drafted"]) == ["none", "drafted"]


def test_a_report_names_every_kind_within_80_columns() -> None:
    struck: Counter[Kind] = Counter(plan(5000, random.Random(7), whole=True))
    report = Report(7, 5000, struck=struck, archived=5000)
    text = io.StringIO()
    terminal = Terminal()
    terminal.file = text

    show(report, terminal)

    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(text.getvalue().split())
    assert not [kind for kind in KINDS - {"stop"} if f"{kind} {struck[kind]}" not in told]
