"""Runs whose rules carry numbers from update to update, resumed with the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.training.checkpoints import checkpoint
from tests.support.optcore.runs.continuing import finish
from tests.support.optcore.runs.resume_cases import started, stopped

STEPS = 10
OPTIMIZERS: list[dict[str, Any]] = [
    {"kind": "schedule_free_sgd"},
    {"kind": "schedule_free_sgd", "dialect": "optax", "weight_lr_power": 2.0},
    {"kind": "schedule_free_adamw", "warmup_steps": 4},
    {"kind": "schedule_free_adamw", "weight_lr_power": 0.0},
    {"kind": "schedule_free_adamw", "dialect": "optax"},
    {"kind": "nadam", "schedules": {"beta1": {"kind": "cosine"}}},
    *(
        {"kind": kind, "dialect": dialect, "schedules": {"beta1": {"kind": "cosine"}}}
        for kind, dialect in (("adam", "paddle"), ("lazy_adam", "paddle"), ("adam", "tf1"))
    ),
    {"kind": "radam", "dialect": "paddle", "schedules": {"beta2": {"kind": "cosine"}}},
    {
        **{"kind": "nadam", "momentum_decay": 0.01},
        "schedules": {
            "momentum_decay": {"kind": "piecewise", "boundaries": [5], "values": [0.01, 0.05]}
        },
    },
]
SCHEDULES: list[dict[str, Any]] = [
    {"kind": "constant"},
    {"kind": "cosine"},
    {"kind": "cosine", "warmup": {"length": 3}},
    {"kind": "multi_step", "milestones": [5], "gamma": 0.5},
    {"kind": "piecewise", "boundaries": [4, 7], "values": [0.01, 0.0, 0.02]},
    {"kind": "linear", "end": 0.0, "length": 5},
    {"kind": "greedy", "factor": 0.5, "patience": 0},
]
"""lr that is 0 at first, in between or at the end, or that changes once, late."""


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.long
@pytest.mark.parametrize(("optimizer", "schedule"), list(product(OPTIMIZERS, SCHEDULES)))
def test_a_run_saved_after_any_report_is_resumed_with_the_same_bits(
    optimizer: dict[str, Any], schedule: dict[str, Any], tmp_path: Path
) -> None:
    spec = {
        "model": {"kind": "mlp", "hidden": [4]},
        "dataset": {"kind": "digits", "batch_size": 600, "validation": 300},
        "optimizer": {"lr": 0.01, **optimizer},
        "schedule": schedule,
        "training": {"steps": STEPS, "seed": 5, "evaluate_every": 2},
    }
    undisturbed = finish(started(spec))

    for reports in range(1, STEPS + STEPS // 2):  # evaluations among them
        run, rows = stopped(spec, reports)
        files = Files(tmp_path / str(reports))
        saved = checkpoint.save(run, files)
        again = started(spec)
        checkpoint.restore(again, files, saved.path, sha256=saved.sha256)
        resumed = finish(again)

        assert rows + resumed["rows"] == undisturbed["rows"], reports
        assert resumed["digest"] == undisturbed["digest"], reports
