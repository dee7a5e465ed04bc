"""A small run on the digits, as the tests of the training core vary it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run

NOWHERE = Path("/nonexistent")  # digits need no data directory


def spec_of(**changes: Any) -> RunSpec:
    """
    Return a run of 12 steps; *changes* go into ``training``, or replace a part by its name.

    ``validation`` goes into the dataset.
    """
    data: dict[str, Any] = {
        "model": {"kind": "mlp", "hidden": [16]},
        "dataset": {"kind": "digits", "batch_size": 100},
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "schedule": {"kind": "linear"},
    }
    if "validation" in changes:
        data["dataset"]["validation"] = changes.pop("validation")
    for name in set(changes) & {*data}:
        data[name] = changes.pop(name)
    length = {} if "epochs" in changes else {"steps": 12}
    return RunSpec.parse({**data, "training": {**length, "seed": 3, **changes}})


def start(**changes: Any) -> Run:
    """Return such a run at its first step."""
    return Run.start(spec_of(**changes), data_dir=NOWHERE)


def steps(run: Run) -> list[StepReport]:
    """Return the steps of *run* to its end."""
    return [report for report in train(run) if isinstance(report, StepReport)]


def evaluations(run: Run) -> list[Evaluation]:
    """Return the evaluations of *run* to its end."""
    return [report for report in train(run) if isinstance(report, Evaluation)]


def column(run: Run, reports: list[StepReport], name: str) -> list[float]:
    """Return a column of what was reported, by its name."""
    return [report.values[run.spec.columns.index(name) - 2] for report in reports]
