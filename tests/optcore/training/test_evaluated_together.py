"""How many examples an evaluation takes at a time is kept from the first step to the last."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.training import run as runs
from optcore.training.checkpoints import checkpoint
from optcore.training.fingerprint import fingerprint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.small import evaluations, start

WIDE: dict[str, Any] = {"kind": "mlp", "hidden": [16_384]}
"""A network of which fewer than 1000 examples fit into the memory of an evaluation."""


def begin() -> Run:
    return start(model=WIDE, validation=0.5, optimizer={"kind": "adam"})


def sizes(run: Run) -> set[int]:
    """Return the sizes of the batches of all evaluations to the end of *run*."""
    found: set[int] = set()

    def seen(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if not module.training:
            found.add(len(given[0]))

    run.model.register_forward_pre_hook(seen)
    evaluations(run)
    return found


def test_a_run_goes_on_with_the_batches_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a later release estimates another memory for the same network."""
    left = begin()
    list(islice((report for report in train(left) if isinstance(report, StepReport)), 7))
    saved = checkpoint.save(left, Files(tmp_path), "7")

    monkeypatch.setattr(runs, "evaluated", lambda spec, device: 50)
    later, resumed = begin(), begin()
    checkpoint.restore(resumed, Files(tmp_path), saved.path)

    assert fingerprint(left.facts()) == fingerprint(later.facts())
    assert resumed.facts() == left.facts() != later.facts()
    assert max(sizes(later)) == 50
    assert max(sizes(resumed)) == left.evaluated_together > 100


def test_a_run_of_1000_at_a_time_has_no_fact_of_it() -> None:
    """As the runs of 0.2.0 have none."""
    run = start(validation=0.5)

    assert run.evaluated_together == 1000
    assert "evaluation" not in run.facts()

    left = begin()
    left.adopt({name: fact for name, fact in left.facts().items() if name != "evaluation"})

    assert left.evaluated_together == 1000
