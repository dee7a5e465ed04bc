"""The jobs of the soak: tiny ones, with all that an inexact resume would get wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

STEPS, CHECKPOINT_EVERY = 60, 10
LAST_CHECKPOINT = STEPS - CHECKPOINT_EVERY
"""Step of the last checkpoint of a run, unless the store was away then."""
LABEL = "chaos"
"""Label of every job of a soak; its value is the soak's own."""

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
"""Running statistics and random numbers: what no curve of the loss would miss at once."""

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
    A job that begins with the state of another one.

    Attributes:
        of: the kind of that one.
        source: which of its states.
        keep: what is taken from it.
    """

    of: str
    source: Literal["last"] | int
    keep: Literal["weights", "optimizer"]


CLONES = {
    "clone of adam, with its optimizer": Clone(
        "adam, cosine after a warmup, average of the weights", LAST_CHECKPOINT, "optimizer"
    ),
    "clone of momentum": Clone("momentum, one cycle", "last", "weights"),
}
"""The API copies what they begin with: the last checkpoint, or the last network."""


def spec_of(kind: str, *, soak: str) -> dict[str, Any]:
    """Return a job of *kind* for the soak of that name."""
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
