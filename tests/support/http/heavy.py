"""What costs most of what is accepted, or is refused only after it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEPS = 500_000
NAMED = [{"kind": "linear", "out_features": 10, "name": f"l{i}"} for i in range(199)]
WIDE = {"kind": "sequential", "layers": [{"kind": "flatten"}, *NAMED]}
SLOW = {"kind": "cosine", "dialect": "torch", "precision": "float32", "end": 1e-5}
"""Each step from the one before, in the slowest way there is."""


def job(**changes: object) -> dict[str, Any]:
    return {
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam"},
        "training": {"steps": 20},
        **changes,
    }


def listed(kind: str, entry: float, **others: object) -> dict[str, Any]:
    """Return a job whose schedule is a list of a number for each step."""
    name = "values" if kind == "values" else "factors"
    schedule = {"kind": kind, name: [entry] * STEPS, **others}
    return job(schedule=schedule, training={"steps": STEPS})


def grouped(*groups: Mapping[str, object], **changes: object) -> dict[str, Any]:
    """Return a job with a wide network and *groups* of its parameters."""
    return job(model=WIDE, optimizer={"kind": "adamw", "groups": [*groups]}, **changes)


JOBS: Mapping[str, dict[str, Any]] = {
    "values": listed("values", 0),
    "long values": job(
        schedule={"kind": "values", "values": [0.123456789012345] * 58_000},
        training={"steps": 58_000},
    ),
    "factors": listed("multiplicative", 1),
    "repeated factors": listed("multiplicative", 1, dialect="torch", precision="float32"),
    "values of each group": grouped(
        *({"match": f"l{i}.*", "lr": 0.1 + i} for i in range(190)),
        schedule={"kind": "values", "relative": True, "values": [0] * STEPS},
        training={"steps": STEPS},
    ),
    "values of a preset": grouped(
        {"preset": "layer_decay", "beta1": {"kind": "values", "values": [0] * STEPS}},
        training={"steps": STEPS},
    ),
    "globs": grouped({"match": {"name": ["*a" * 9 + f"*{j}" for j in range(999)] + ["*"]}}),
    "globs that find nothing": grouped(
        *({"match": {"name": ["?" * 9 + f"*{i}{j}" for j in range(10)]}} for i in range(100))
    ),
    "decays of layers": grouped(*[{"preset": "layer_decay"}] * 500),
    "no decays": grouped(*[{"preset": "no_decay_norm_bias"}] * 500),
    "exclusions": job(
        model=WIDE, optimizer={"kind": "muon", "exclude": [f"*xl{j}.*" for j in range(1000)]}
    ),
    "an order": job(
        model=WIDE,
        optimizer={"kind": "adam", "order_params": [f"l{i}.weigth" for i in range(10_000)]},
    ),
    "schedules of groups": grouped(
        *(
            {"match": f"l{i // 2}.{'wb'[i % 2]}*", "schedule": {"kind": "noam", "d_model": 9 + i,
             "warmup_steps": 9}}
            for i in range(398)
        ),
        training={"steps": 10**6},
    ),
    "a product": job(
        schedule={
            "kind": "product",
            "schedules": [{"kind": "product", "schedules": [{"kind": "cosine"}] * 98}] * 5,
        },
        training={"steps": 10**6},
    ),
    "a long run": job(
        schedule={"kind": "clamp", "schedule": {"kind": "noisy_linear_cosine"}},
        training={"steps": 10**8},
    ),
    "repeated steps": job(
        schedule={"kind": "product", "schedules": [SLOW] * 2}, training={"steps": 999_999}
    ),
    "milestones": job(
        schedule={
            "kind": "product",
            "schedules": [
                {"kind": "multi_step", "gamma": 0.999,
                 "milestones": [{"epochs": 100 + j} for j in range(1000)]}
            ] * 5,
        },
        training={"steps": 10**6},
    ),
    "labels": job(labels={f"{i:02}{'x' * 60}": "é" * 200 for i in range(32)}),
    "wrong groups": grouped(*[{f"f{j}": 1 for j in range(150)}] * 500),
    "wrong schedules": job(
        schedule={
            "kind": "product",
            "schedules": [{"kind": "cosine", **{f"lenght{j}": 1 for j in range(700)}}] * 100,
        }
    ),
}  # fmt: skip
"""Jobs by what is much in them."""

PREVIEWS: Mapping[str, dict[str, Any]] = {
    "steps": {"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": STEPS},
    "groups": {
        "schedule": {"kind": "cosine"},
        "lr": 0.1,
        "total_steps": 4950,
        "groups": [{"name": f"g{i}"} for i in range(100)],
    },
    "a product": {
        "schedule": {"kind": "product", "schedules": [{"kind": "tanh"}] * 40},
        "lr": 0.1,
        "total_steps": 490_000,
    },
    "values": {
        "schedule": {"kind": "values", "values": [0] * STEPS},
        "lr": 0.1,
        "total_steps": STEPS,
    },
    "few steps": {
        "schedule": {"kind": "product", "schedules": [{"kind": "cosine"}] * 90},
        "lr": 0.1,
        "total_steps": 2048,
        "groups": [{"name": f"g{i}"} for i in range(100)],
    },
}
"""Previews by what is much in them."""
