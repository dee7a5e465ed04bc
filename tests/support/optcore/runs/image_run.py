"""A run over images with every kind of layer, for the tests of loop and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run

NOWHERE = Path("/nonexistent")  # digits need no data directory
LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
    {"kind": "batch_norm"},
    {"kind": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2},
    {"kind": "flatten"},
    {"kind": "dropout", "p": 0.2},
    {"kind": "linear", "out_features": 10},
]
NETWORK = {"kind": "sequential", "layers": LAYERS}


def spec(**changes: object) -> RunSpec:
    data: dict[str, Any] = {
        "model": NETWORK,
        "dataset": {"kind": "digits", "batch_size": 64},
        "optimizer": {"kind": "adam", "lr": 0.01},
        "schedule": {"kind": "cosine", "warmup": {"length": 5}},
        "training": {"epochs": 2, "seed": 11},
    }
    return RunSpec.parse({**data, **changes})


def start(run_spec: RunSpec) -> Run:
    return Run.start(run_spec, data_dir=NOWHERE)


def steps(run: Run, limit: int | None = None) -> list[StepReport]:
    found: list[StepReport] = []
    for report in train(run):
        if isinstance(report, StepReport):
            found.append(report)
            if len(found) == limit:
                break
    return found
