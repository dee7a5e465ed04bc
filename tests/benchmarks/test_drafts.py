"""Drafts in a storage, as the soak looks for them while a service removes what it does not need."""

import os
import shutil
import threading
import time
from pathlib import Path

from benchmarks.chaos.drafts import AGED_S, Drafts


def written(job: Path) -> Path:
    draft = job / "archive" / ".draft-1"
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.touch()
    return draft


def test_drafts_are_found_and_aged_with_the_folder_of_their_job(tmp_path: Path) -> None:
    draft = written(tmp_path / "jobs" / "local" / "job_1")
    other = tmp_path / "jobs" / "local" / "job_2"
    other.mkdir()
    drafts = Drafts(tmp_path)

    assert drafts.left() == [draft]
    drafts.age()

    ages = {path: time.time() - path.stat().st_mtime for path in (draft, draft.parents[1], other)}
    assert ages[draft] > AGED_S - 60
    assert ages[draft.parents[1]] > AGED_S - 60
    assert ages[other] < 60


def test_what_is_removed_meanwhile_is_no_draft_any_more(tmp_path: Path) -> None:
    jobs, done = tmp_path / "jobs" / "local", threading.Event()

    def come_and_go() -> None:
        number = 0
        while not done.is_set():
            number += 1
            written(jobs / f"job_{number % 8}")
            shutil.rmtree(jobs / f"job_{(number + 4) % 8}", ignore_errors=True)

    jobs.mkdir(parents=True)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        drafts, deadline = Drafts(tmp_path), time.monotonic() + 2
        while time.monotonic() < deadline:
            drafts.left()
            drafts.age()
    finally:
        done.set()
        thread.join()

    assert all(os.path.basename(draft) == ".draft-1" for draft in drafts.left())
