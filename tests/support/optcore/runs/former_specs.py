"""Runs whose specs release 0.2.0 stored in other words, and those words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore.spec.former.translation import with_former_defaults

Json = dict[str, Any]

CLIP = {"kind": "global_norm", "max": 0.5}
COSINE = {"kind": "cosine"}


def run_of(optimizer: Json | None = None, schedule: Json | None = None, **training: Any) -> Json:
    """Return a run in the words of today."""
    return {
        "model": {"kind": "mlp", "hidden": [16]},
        "dataset": {"kind": "digits", "batch_size": 100},
        "optimizer": {"kind": "adam", "lr": 0.01, **(optimizer or {})},
        "schedule": schedule or {"kind": "constant"},
        "training": {"steps": 12, "seed": 3, "evaluate_every": 5, **training},
    }


def _clip(optimizer: Json, training: Json, run: Json) -> None:
    training["clip"], optimizer["clip"] = optimizer["clip"], None


def _loss_scale(optimizer: Json, training: Json, run: Json) -> None:
    optimizer["loss_scale"], training["loss_scale"] = 1000.0, None


def _average(optimizer: Json, training: Json, run: Json) -> None:
    optimizer["average"], training["ema"] = {"momentum": 0.9, "overwrite_every": 3}, None


def _schedule(optimizer: Json, training: Json, run: Json) -> None:
    optimizer["schedules"] = {**optimizer["schedules"], "lr": run["schedule"]}
    run["schedule"] = {**run["schedule"], "kind": "constant", "factor": 1.0, "length": None}
    del run["schedule"]["end"]


def _group(optimizer: Json, training: Json, run: Json) -> None:
    first, second = optimizer["groups"]
    first |= {"lr": {**COSINE, "value": 0.02}, "schedule": None}
    second |= {"schedules": {"lr": COSINE}, "schedule": None}


WITH_GROUPS: Json = {
    "groups": [
        {"match": "fc2.*", "lr": 0.02, "schedule": COSINE},
        {"match": "*.bias", "schedule": COSINE, "schedules": {}},
    ]
}
FIXED = {"kind": "fixed", "scale": 1000.0, "drop_overflow": False}
KERAS = {"kind": "keras", "decay": 0.9, "overwrite_every": 3}

FORMER: dict[str, tuple[Json, Callable[[Json, Json, Json], None]]] = {
    "clip": (run_of({"clip": CLIP}), _clip),
    "loss scale": (run_of(loss_scale=FIXED, columns=["grad_norm", "loss_scale"]), _loss_scale),
    "average": (run_of(ema=KERAS), _average),
    "schedule of lr": (run_of(schedule=COSINE), _schedule),
    "schedule of a group": (run_of(WITH_GROUPS), _group),
    "nothing but defaults": (run_of(ema={"decay": 0.9}), lambda optimizer, training, run: None),
}
"""What -> a run, and what changes its dumped spec to that of 0.2.0."""


def stored(dumped: Json, change: Callable[[Json, Json, Json], None]) -> Json:
    """Return the spec *dumped* as 0.2.0 stored it, every default spelled out."""
    former = with_former_defaults(dumped)
    change(former["optimizer"], former["training"], former)
    return former
