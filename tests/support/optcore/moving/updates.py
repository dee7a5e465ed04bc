"""What an optimizer does with a few parameters: the effect of its spec."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import optcore
from optcore.plan.unused import departs, unused_in, unused_in_groups
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS

STEPS = 8
NAMES = ["weight", "bias", "kernel", "half"]
TABLE = (68, 61)
"""Shape of an embedding, for optimizers that keep the state of large parameters in 8 bits."""
MODULES = {**dict.fromkeys(NAMES, "linear"), "table": "Embedding", "kernel": "conv2d"}


def bases(kind: str, dialect: str) -> list[dict[str, Any]]:
    """Return specs of an optimizer: with its default weight decay, with another, with none."""
    spec: dict[str, Any] = {"kind": kind, "dialect": dialect, "lr": 0.05}
    if kind == "lbfgs":
        return [spec]
    return [spec, *({**spec, "weight_decay": decay} for decay in (0.1, 0.0))]


def kinds() -> list[tuple[str, str]]:
    """Return every optimizer in each of its dialects."""
    return [(kind, dialect) for kind, cls in OPTIMIZERS.items() for dialect in cls.DIALECTS]


def effect(spec: OptimizerSpec) -> tuple[list[bytes], str | None, set[str]]:
    """Return all values of parameters on their way, those evaluated, the engine and warnings."""
    params = _params(double=spec.kind == "lbfgs")
    if spec.dialect == "bitsandbytes":
        params["table"] = torch.full(TABLE, 0.5, requires_grad=True)
    optimizer = optcore.make_optimizer(
        params.items(),
        spec,
        modules=MODULES,
        # What depends on the way that lr has gone, such as corrected_weight_decay.
        schedule=None if spec.kind == "lbfgs" else {"kind": "linear", "end_fraction": 0.5},
        total_steps=STEPS,
        steps_per_epoch=2,
    )
    seen: list[bytes] = []
    for step in range(STEPS):
        grads = _grads(params, step)

        def closure(grads: dict[str, Tensor] = grads) -> float:
            for name, param in params.items():
                param.grad = (grads[name] + 0.1 * param.detach()).to(param.dtype)
            return float(sum((p.detach().double() ** 2).sum() for p in params.values()))

        if spec.kind == "lbfgs":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        seen += _bits(params)
    with optimizer.averaged():
        seen += _bits(params)
    unused = {name for name, _ in unused_in(spec) if departs(spec, name)}
    unused |= {name for name, _ in unused_in_groups(spec)}
    return seen, getattr(optimizer, "engine", None), unused


def _params(*, double: bool) -> dict[str, Tensor]:
    shapes = {"weight": (5, 16), "bias": (5,), "kernel": (4, 16, 2, 1), "half": (4, 16)}
    generator = torch.Generator().manual_seed(1)
    params = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        # The last has half the digits, for what keeps them.
        params[name] = values.bfloat16() if name == "half" and not double else values
    return {name: value.requires_grad_() for name, value in params.items()}


def _grads(params: dict[str, Tensor], step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return {
        name: torch.randn(param.shape, generator=generator) * 10.0 ** (step % 3 - 1)
        for name, param in params.items()
    }


def _bits(params: dict[str, Tensor]) -> list[bytes]:
    return [p.detach().contiguous().view(torch.uint8).numpy().tobytes() for p in params.values()]
