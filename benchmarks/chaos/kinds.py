"""The jobs of the soak test: tiny, but with everything that an inexact resume would get wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

STEPS, CHECKPOINT_EVERY = 60, 10
LABEL = "chaos"
"""Name of the label of all jobs in a soak test; its value identifies the test."""

NETWORK = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 16, "kernel_size": 3, "padding": 1},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "dropout", "p": 0.2},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 10},
    ],
}
"""A network with running statistics and dropout: if a resume lost them, the loss curve would not
show it at once."""

KINDS: dict[str, dict[str, Any]] = {
    "adam, cosine after a warmup, average of the weights": {
        "optimizer": {"kind": "adam", "lr": 0.003},
        "schedule": {"kind": "cosine", "warmup": {"length": 10}},
        "training": {"ema": {"decay": 0.9}},
    },
    "momentum, one cycle": {
        "optimizer": {"kind": "momentum", "lr": 0.05},
        "schedule": {"kind": "one_cycle"},
    },
    "rmsprop, linear, two batches a step": {
        "optimizer": {"kind": "rmsprop", "lr": 0.002},
        "schedule": {"kind": "linear"},
        "training": {"accumulate": 2},
    },
    "adamw, stairs, clipped": {
        "optimizer": {
            **{"kind": "adamw", "lr": 0.003, "weight_decay": 0.05},
            "clip": {"kind": "global_norm", "max": 1.0},
        },
        "schedule": {"kind": "step", "every": 20, "gamma": 0.5},
    },
}


@dataclass(frozen=True)
class Clone:
    """
    A job that starts from the state of another job, its parent.

    Attributes:
        of: the kind of the parent.
        source: the step of the parent's checkpoint, or ``last``.
        keep: the part of the parent's state to keep.
    """

    of: str
    source: Literal["last"] | int
    keep: Literal["weights", "optimizer"]


CLONES = {
    "clone of adam, with its optimizer": Clone(
        "adam, cosine after a warmup, average of the weights", "last", "optimizer"
    ),
    "clone of momentum": Clone("momentum, one cycle", "last", "weights"),
}
"""The API copies the state that a clone starts from: the checkpoint of the last step, or the final
network."""


def spec_of(kind: str, *, soak: str) -> dict[str, Any]:
    """Return the spec of a job of *kind* for the soak test named *soak*."""
    training = {
        "steps": STEPS,
        "seed": 7,
        "checkpoint_every": CHECKPOINT_EVERY,
        "evaluate_every": None,
        **KINDS[kind].get("training", {}),
    }
    return {
        "name": f"chaos: {kind}",
        "labels": {LABEL: soak},
        "model": NETWORK,
        "dataset": {"kind": "digits", "batch_size": 100},
        **KINDS[kind],
        "training": training,
    }
