"""A spec of every optimizer in every dialect and engine, and torch's own optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

import optcore
from optcore.optimizers.engine.group_update import fusible
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.make import parse
from optcore.optimizers.rules.catalogue import RULES
from optcore.spec.optimizers.catalogue import OPTIMIZERS

TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda params, **kw: torch.optim.SGD(params, momentum=0.9, **kw),
    "nesterov": lambda params, **kw: torch.optim.SGD(params, momentum=0.9, nesterov=True, **kw),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}
"""torch's optimizers by our names."""
TORCH_LR = {**dict.fromkeys(TORCH, 0.01), "rmsprop": 0.003}
"""At 0.01 RMSprop is chaotic here: one rounding grows by 1e11 in 30 steps."""
EXTRAS: list[dict[str, Any]] = [
    {"kind": "momentum", "dampening": 0.3},
    {"kind": "momentum", "engine": "fused", "dampening": 0.3},
    {"kind": "adagrad", "lr_decay": 0.1, "initial_accumulator_value": 0.2},
    {"kind": "rmsprop", "centered": True, "momentum": 0.5},
    {"kind": "rmsprop", "dialect": "paddle", "momentum": 0.5},
    {"kind": "adam", "amsgrad": True},
    {"kind": "adam", "clip": {"kind": "global_norm", "max": 0.1}},
    {"kind": "adam", "clip": {"kind": "norm", "max": 0.1}, "weight_decay": 0.01},
    {"kind": "adam", "clip": {"kind": "value", "max": 0.01}, "l1": 0.001},
    {"kind": "adamw", "weight_decay": 0.1, "l2": 0.01},
    {"kind": "sgd", "ema": {"kind": "keras", "decay": 0.9, "overwrite_every": 3}},
    {"kind": "momentum", "grad_centralization": True, "dialect": "mindspore"},
    {"kind": "sag", "batch_num": 3},
    {"kind": "adafactor", "dialect": "mindspore", "relative_step": False},
]
"""Specs with options that are off by default; an ``ema`` goes to make_optimizer (`made`)."""

LBFGS: dict[str, Any] = {"kind": "lbfgs", "lr": 0.1, "max_iter": 4}
"""torch's own, which has no engines, groups or schedules, and needs a closure."""


def made(
    named: Iterable[tuple[str, Tensor]], spec: Mapping[str, Any], **more: Any
) -> FlatOptimizer:
    """Return the optimizer of a variant for these parameters; *more* goes to make_optimizer."""
    alone = {name: value for name, value in spec.items() if name != "ema"}
    return optcore.make_optimizer(named, alone, ema=spec.get("ema"), **more)


def variants() -> list[dict[str, Any]]:
    """Return a spec for each optimizer, dialect and engine; some with more switched on; LBFGS."""
    found = []
    for kind, cls in OPTIMIZERS.items():
        for dialect in cls.DIALECTS if kind != "lbfgs" else ():
            spec: dict[str, Any] = {"kind": kind, "dialect": dialect, "lr": 0.01}
            found.append({**spec, "engine": "eager"})
            if kind in RULES and fusible(parse(spec)):
                found.append({**spec, "engine": "fused"})
    return [*found, LBFGS, *({"lr": 0.01, "engine": "eager", **extra} for extra in EXTRAS)]


def engines() -> list[tuple[str, str]]:
    """Return each optimizer with each engine that it has in its default dialect."""
    found = [(kind, "eager") for kind in OPTIMIZERS if kind != "lbfgs"]
    found += [(kind, "fused") for kind, _ in found if fusible(parse({"kind": kind}))]
    return [*found, ("lbfgs", "auto")]


def name_of(spec: dict[str, Any]) -> str:
    return "-".join(str(value) for value in spec.values())
