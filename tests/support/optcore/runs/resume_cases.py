"""Runs to resume: every optimizer, every schedule, and every other state that a run has."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import islice, product
from pathlib import Path
from typing import Any

import torch

from optcore.files.files import Files
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.continuing import NOWHERE, row_of

SEED = 20
STEPS = 24
"""Of a run, 8 to the epoch."""
NETWORK: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "flatten"},
        {"kind": "dropout", "p": 0.2},
        {"kind": "linear", "out_features": 10},
    ],
}
BLOCKS: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {
            "kind": "residual",
            "layers": [
                {"kind": "relu"},
                {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
                {"kind": "batch_norm"},
            ],
            "shortcut": [{"kind": "conv2d", "out_channels": 4, "kernel_size": 1}],
        },
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 16},
        {
            "kind": "repeat",
            "name": "deep",
            "times": 2,
            "layers": [
                {"kind": "linear", "name": "a", "out_features": 16},
                {"kind": "dropout", "p": 0.2},
                {"kind": "linear", "out_features": 16, "share": {"weight": "deep.0.a.weight"}},
            ],
        },
        {
            "kind": "parallel",
            "branches": [[{"kind": "relu"}], [{"kind": "tanh"}], []],
            "join": "concat",
        },
        {"kind": "linear", "out_features": 10},
    ],
}
COSINE = {"kind": "cosine"}
SHORT: list[dict[str, Any]] = [
    {"kind": "constant", "factor": 0.5, "length": 9},
    {"kind": "piecewise", "boundaries": [5, 13], "values": [0.01, 0.004, 0.001]},
    {"kind": "step", "every": 7, "gamma": 0.6},
    {"kind": "multi_step", "milestones": [6, 16], "gamma": 0.3},
    {"kind": "multiplicative", "factors": [0.9] * 10},
    {"kind": "values", "values": [0.01 - i * 1e-4 for i in range(STEPS)]},
    {**COSINE, "warmup": {"length": 5}},
    {"kind": "linear"},
    {"kind": "polynomial", "power": 2.0},
    {"kind": "tanh"},
    {"kind": "rex"},
    {"kind": "wsd", "decay": 8},
    {"kind": "exponential", "rate": 0.5, "every": 8},
    {"kind": "natural_exponential", "rate": 1.0, "every": 8},
    {"kind": "inverse_time", "rate": 1.0, "every": 8},
    {"kind": "noam", "d_model": 64, "warmup_steps": 6},
    {"kind": "inverse_sqrt", "timescale": 5},
    {"kind": "cosine_restarts", "length": 7},
    {"kind": "cyclical_cosine", "length": 7},
    {"kind": "two_step_cosine", "first": 9},
    {"kind": "linear_cosine"},
    {"kind": "noisy_linear_cosine", "seed": 1},
    {"kind": "one_cycle"},
    {"kind": "cyclic", "base": 0.001, "up": 5},
    {"kind": "plateau", "metric": "train_loss", "patience": 0, "threshold": 0.5},
    {"kind": "greedy", "metric": "train_loss", "patience": 0},
    {"kind": "chain", "schedules": [{"kind": "linear"}, COSINE], "boundaries": [9]},
    {"kind": "cycle", "schedule": {"kind": "rex"}, "length": 9, "factor": 0.7},
    {"kind": "scale", "schedule": COSINE, "factor": 0.5},
    {"kind": "product", "schedules": [COSINE, {"kind": "cyclic", "base": 0.5, "up": 5}]},
    {"kind": "clamp", "schedule": COSINE, "min": 0.002, "max": 0.008},
    {"kind": "noise", "schedule": COSINE, "std": 0.001, "begin": 5},
    {"kind": "per_epoch", "schedule": COSINE},
    {"kind": "per_batch", "accumulate": 2, "batches_per_epoch": 15, "schedule": COSINE},
    {"kind": "shift", "schedule": COSINE, "by": 5},
]
"""A schedule of every kind."""


def spec_of(optimizer: str, schedule: object = None, **training: object) -> dict[str, Any]:
    """A run with shuffling, dropout, BatchNorm, accumulation and averaged weights."""
    alone = optimizer == "lbfgs"
    return {
        "model": NETWORK,
        "dataset": {"kind": "digits", "batch_size": 190 if alone else 95, "validation": 75},
        "optimizer": {"kind": optimizer, "lr": 0.01},
        "schedule": schedule or ({"kind": "constant"} if alone else SHORT[6]),
        "training": {
            "steps": STEPS,
            "seed": 5,
            "accumulate": 1 if alone else 2,
            "ema": {"decay": 0.9},
            "evaluate_every": 5,
            **training,
        },
    }


def cases(kind: str, precision: str) -> dict[str, dict[str, Any]]:
    """One optimizer with every schedule."""
    return {
        f"{kind}-{schedule['kind']}-{precision}": spec_of(kind, schedule, precision=precision)
        for schedule in SHORT
    }


OTHERS = {
    "float16 with a scale that moves": spec_of(
        "adam",
        precision="fp16",
        loss_scale={"kind": "dynamic", "start": 2.0**40, "window": 3},
        columns=["grad_norm", "update_ratio", "loss_scale"],
    ),
    "bfloat16 parameters with float32 copies": {
        **spec_of("adam", precision="bf16_true"),
        "optimizer": {"kind": "adam", "lr": 0.01, "multi_precision": True},
    },
    "a state of 8 bits": {
        **spec_of("adamw", precision="bf16_true", ema={"kind": "keras", "decay": 0.9}),
        "model": {"kind": "mlp", "hidden": [128]},
        "optimizer": {"kind": "adamw", "dialect": "bitsandbytes", "lr": 0.01, "state_bits": 8},
    },
    "lookahead, and gradients clipped together": {
        **spec_of("momentum", lookahead={"every": 3}),
        "optimizer": {"kind": "momentum", "lr": 0.01, "clip": {"kind": "global_norm", "max": 0.5}},
    },
    "Keras' average, and a loss scale that stays": spec_of(
        "sgd",
        ema={"kind": "keras", "decay": 0.9, "overwrite_every": 5},
        loss_scale={"kind": "fixed", "scale": 1000.0, "drop_overflow": False},
    ),
    "an average every two updates whose decay moves, begun in the middle": spec_of(
        "adam",
        ema={
            "decay": {"kind": "cosine", "value": 0.5, "end": 1},
            "every": 2,
            "begin": 6,
            "copy_first": True,
            "statistics": "copy",
        },
    ),
    "the mean of weights": spec_of(
        "adam", ema={"kind": "swa", "begin": 3, "every": 2, "statistics": "recompute"}
    ),
    "blocks, and a weight that two layers share": {**spec_of("adam"), "model": BLOCKS},
    "a function with noise": {
        **spec_of("adam", loss={"kind": "objective"}, columns=["x0", "x1"]),
        "model": {"kind": "point"},
        "dataset": {"kind": "rosenbrock", "noise": 0.5, "examples": 48, "batch_size": 3},
    },
    "lbfgs with one iteration a step": {
        **spec_of("lbfgs"),
        "optimizer": {"kind": "lbfgs", "lr": 0.1, "max_iter": 1},
    },
    "losses above a limit skipped": spec_of(
        "sgd", on_divergence="skip", loss_limit=2.2, accumulate=3
    ),
}
CASES = {**{kind: spec_of(kind) for kind in OPTIMIZERS}, **cases("adam", "fp32"), **OTHERS}
"""Every optimizer with one schedule, and one of them with every schedule."""
RARER = {
    name: spec
    for kind, precision in product(("momentum", "adam", "lion"), ("fp32", "bf16"))
    for name, spec in cases(kind, precision).items()
    if name not in CASES
}
"""Three optimizers with every schedule in two precisions."""

NETWORKS = {
    "crnn": {
        **spec_of("adam", loss={"kind": "ctc"}),
        "model": {
            "kind": "crnn",
            "backbone": {"kind": "mobilenet_v3", "scale": 0.1, "strides": [1, 1, 1, 2]},
            "hidden": 8,
        },
    },
    "decoder": {
        **spec_of("adamw"),
        "model": {
            "kind": "sequential",
            "layers": [
                {"kind": "patch_embedding", "patch_size": 2, "features": 8, "name": "patches"},
                {"kind": "queries", "num_queries": 3, "features": 8},
                {
                    **{"kind": "repeat", "times": 2},
                    "layers": [
                        {
                            **{"kind": "transformer_decoder_layer", "memory": "patches"},
                            **{"nhead": 2, "dim_feedforward": 8, "dropout": 0.1},
                        }
                    ],
                },
                {"kind": "flatten"},
                {"kind": "linear", "out_features": 10},
            ],
        },
    },
    "mobilenet_v3": {**spec_of("momentum"), "model": {"kind": "mobilenet_v3", "scale": 0.1}},
    "vit": {
        **spec_of("adamw"),
        "model": {
            "kind": "vit",
            **{"patch_size": 2, "layers": 2, "heads": 2, "hidden": 8, "dropout": 0.1},
        },
    },
}
"""Networks of other layers, one with dropout in copies of the same layers."""


def started(spec: dict[str, Any]) -> Run:
    return Run.start(RunSpec.parse(spec), data_dir=NOWHERE)


def stopped(spec: dict[str, Any], reports: int) -> tuple[Run, list[list[Any]]]:
    """Return the run after so many reports, signs of life among them, and its rows so far."""
    run, rows = started(spec), list[list[Any]]()
    for report in islice(train(run), reports):
        if isinstance(report, StepReport):
            rows.append(row_of(report))
    return run, rows


def after(spec: dict[str, Any], step: int) -> tuple[Run, list[list[Any]]]:
    """Return the run after *step* steps, and its rows."""
    run, rows = started(spec), list[list[Any]]()
    for report in train(run):
        if isinstance(report, StepReport):
            rows.append(row_of(report))
        if len(rows) == step:
            break
    return run, rows


def continued(cases: dict[str, dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Return what one new process makes of a checkpoint of each case, with the rows before it."""
    draw = random.Random(SEED)
    torch.use_deterministic_algorithms(True)
    before, asked = [], []
    for i, spec in enumerate(cases.values()):
        total = 2 * STEPS if spec["training"]["accumulate"] > 1 else STEPS
        run, rows = stopped(spec, draw.randrange(1, total))
        saved = checkpoint.save(run, Files(folder / str(i)))
        before.append({"before": rows, "micro": run.micro, "position": run.batches.position})
        where = {"folder": str(folder / str(i)), "checkpoint": saved.path}
        asked.append({"spec": spec, **where, "sha256": saved.sha256})
    (folder / "cases.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "tests.support.optcore.runs.continuing"]
    subprocess.run([*command, str(folder / "cases.json"), str(folder / "results.json")], check=True)
    results = json.loads((folder / "results.json").read_text())
    return {
        name: {**known, **result}
        for name, known, result in zip(cases, before, results, strict=True)
    }
