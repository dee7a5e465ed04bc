"""A run that is interrupted is settled soon, and goes on as if nothing had happened."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import Progress, StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.small import spec_of, start, steps

NETWORK: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 4, "kernel_size": 3},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "dropout", "p": 0.3},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 10},
    ],
}
"""Statistics and random numbers, which every look at the loss changes."""
SEARCH: dict[str, Any] = {
    "model": NETWORK,
    "optimizer": {"kind": "lbfgs", "lr": 0.1, "max_iter": 6, "history_size": 4},
    "schedule": {"kind": "constant"},
}


class At(threading.Event):
    """Is set the first time that it is asked for after so many others."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self._left = asked

    def is_set(self) -> bool:
        self._left -= 1
        return self._left == 0


@pytest.mark.parametrize("asked", [1, 2, 5, 20, 41])
def test_a_long_step_that_is_given_up_is_made_again_with_the_same_bits(asked: int) -> None:
    undisturbed = start(**SEARCH)
    wanted = steps(undisturbed)
    interrupted = start(**SEARCH)
    interrupted.interrupt = At(asked)

    found = list(train(interrupted))

    assert [report for report in found if isinstance(report, StepReport)] == wanted
    assert digest(interrupted.tensors()) == digest(undisturbed.tensors())
    evaluated = [report for report in train(start(**SEARCH)) if isinstance(report, Progress)]
    assert sum(isinstance(report, Progress) for report in found) == len(evaluated) + 1


@pytest.mark.parametrize("asked", [2, 41])
def test_where_it_was_given_up_it_can_be_saved_and_goes_on_elsewhere(
    tmp_path: Path, asked: int
) -> None:
    undisturbed = start(**SEARCH)
    wanted = steps(undisturbed)
    interrupted = start(**SEARCH)
    interrupted.interrupt = At(asked)
    for report in train(interrupted):
        if isinstance(report, Progress):
            break
    assert interrupted.settled
    saved = checkpoint.save(interrupted, Files(tmp_path))

    torch.manual_seed(99)
    resumed = Run.start(spec_of(**SEARCH), data_dir=Path("/nonexistent"))
    checkpoint.restore(resumed, Files(tmp_path), saved.path, sha256=saved.sha256)

    assert steps(resumed) == wanted[saved.step :]
    assert digest(resumed.tensors()) == digest(undisturbed.tensors())


def test_a_step_that_cannot_be_used_is_no_interruption() -> None:
    run = start(**{**SEARCH, "optimizer": {**SEARCH["optimizer"], "lr": 1e30}}, steps=3)
    run.interrupt = At(10_000)

    with pytest.raises(Exception, match="loss must be finite"):
        list(train(run))


def test_steps_that_were_made_ahead_are_reported_at_once() -> None:
    run = start()
    rows = []
    reports = train(run, ahead=8)
    for report in reports:
        if isinstance(report, StepReport):
            rows.append(report.step)
            if run.settled:
                break
    assert rows == list(range(8))

    run.interrupt.set()
    for report in reports:
        assert isinstance(report, StepReport)
        rows.append(report.step)
        if run.settled:
            break

    assert rows == list(range(9))
