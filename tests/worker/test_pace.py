"""How many steps fit into some time, and what must not be missed by whoever counts on it."""

import threading
import time
from pathlib import Path

import pytest
import redis

from jobs.artifacts import Storage
from jobs.calls import Held
from jobs.settings import Settings
from tests.jobs.protocol import claim, history, submit
from worker import attempt
from worker.attempt import Attempt, Tools
from worker.pace import Pace


def test_as_many_steps_fit_as_were_made_in_that_time() -> None:
    pace = Pace(10)
    time.sleep(0.05)

    assert 1 <= pace.steps(110, within_s=0.05) <= 100
    assert pace.row == 110


def test_a_step_fits_even_if_none_was_made() -> None:
    pace = Pace(10)

    assert pace.steps(10, within_s=60.0) == 1
    time.sleep(0.001)
    assert pace.steps(11, within_s=0.0) == 1


def test_checkpoints_are_made_when_they_are_due_however_seldom_the_loop_looks(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "LOOK_S", 3600.0)
    training = {"steps": 100, "device": "cpu", "checkpoint_every": 7, "evaluate_every": 40}
    job_id = submit(client, training=training)
    assert claim(client, "t") is not None
    tools = Tools(client, Storage(tmp_path), Settings(home=tmp_path), "cpu", threading.Event())

    outcome = Attempt(Held("local", job_id, "t"), tools).train()

    steps = [e["data"]["step"] for e in history(client, job_id) if e["kind"] == "checkpointed"]
    assert outcome == "succeeded"
    assert steps == list(range(7, 100, 7))
