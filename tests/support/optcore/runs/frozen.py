"""Networks and runs of which a part is frozen."""

from __future__ import annotations

from typing import Any

from tests.support.optcore.runs.run_specs import run

Json = dict[str, Any]


def named(name: str, kind: str, **fields: Any) -> Json:
    return {"kind": kind, "name": name, **fields}


BACKBONE = [
    named("conv", "conv2d", out_channels=4, kernel_size=3, bias=False),
    named("norm", "batch_norm"),
    named("relu", "relu"),
    named("pool", "max_pool2d", kernel_size=2),
]
NETWORK: Json = {
    "kind": "sequential",
    "layers": [
        named("backbone", "sequential", layers=BACKBONE),
        named("flatten", "flatten"),
        named("hidden", "linear", out_features=16, bias=False),
        named("norm", "batch_norm"),
        named("head", "linear", out_features=10),
    ],
}


def tied(**training: Any) -> Json:
    layers = [
        named("first", "linear", out_features=64),
        named("again", "linear", out_features=64, share={"weight": "first.weight"}),
        named("head", "linear", out_features=10),
    ]
    flatten = named("flatten", "flatten")
    model = {"kind": "sequential", "layers": [flatten, *layers]}
    return run(model=model, training={"steps": 5, **training})
