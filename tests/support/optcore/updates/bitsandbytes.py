"""Runs recorded from bitsandbytes: their parameters, gradients and specs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.make import make_optimizer

GOLDEN = Path(__file__).parents[3] / "golden"
SHAPES = {"w": (65, 71), "b": (70,), "k": (3, 40, 40)}
STEPS, TOTAL = 60, 100
EVERY = 97
"""Every EVERY-th element of a parameter was recorded after each update."""
Case = dict[str, Any]


def recorded(backend: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / f"bitsandbytes_{backend}.npz") as arrays:
        return dict(arrays)


def cases() -> list[Case]:
    found: list[Case] = json.loads(str(recorded("cpu")["cases"]))["cases"]
    return found


class Run:
    """The run of a recorded case: an update for each `step`."""

    def __init__(self, case: Case, backend: str, **changes: Any) -> None:
        self._draws = np.random.RandomState(case["seed"])
        self._dtype = getattr(torch, case.get("dtype", "float32"))
        self.params = {
            name: self._tensor(self._draws.standard_normal(shape)).requires_grad_()
            for name, shape in SHAPES.items()
        }
        self.optimizer = optimizer_of(case, backend, self.params, **changes)
        self.t = 0

    def steps(self, count: int) -> Iterator[dict[str, Tensor]]:
        """Make *count* updates, and yield the parameters after each."""
        for _ in range(count):
            for name, param in self.params.items():
                param.grad = self._gradient(name)
            self.optimizer.step()
            self.t += 1
            yield self.params

    def _gradient(self, name: str) -> Tensor:
        # Of many magnitudes, as gradients are; with a row, and with whole blocks, that are 0.
        shape = SHAPES[name]
        draw = self._draws.standard_normal
        grad = draw(shape) * np.exp(2 * draw(shape)) * 1e-2
        if name == "w":
            grad[3] = 0
        if name == "k" and self.t < 5:
            grad[0, :8] = 0
        return self._tensor(grad)

    def _tensor(self, values: NDArray[np.float64]) -> Tensor:
        return torch.tensor(values.astype(np.float32)).to(self._dtype)


def optimizer_of(
    case: Case, backend: str, params: dict[str, Tensor], **changes: Any
) -> FlatOptimizer:
    names = ("kind", "lr", "beta1", "beta2", "eps", "weight_decay")
    spec = {name: case[name] for name in names if name in case}
    spec |= {"dialect": "bitsandbytes", "backend": backend, "state_bits": case["bits"]}
    if "embedding" in case:
        spec["embeddings_32bit"] = True
    if "undecayed" in case:
        spec["groups"] = [{"match": case["undecayed"], "weight_decay": 0.0}]
    modules = dict.fromkeys(SHAPES, "Linear")
    if "embedding" in case:
        modules[case["embedding"]] = "Embedding"
    scheduled = case.get("scheduled")
    return make_optimizer(
        params.items(),
        spec | changes,
        modules=modules,
        schedule={"kind": "linear", "end": 0.0, "length": TOTAL} if scheduled else None,
        total_steps=TOTAL,
    )
