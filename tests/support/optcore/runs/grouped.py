"""A small image network, and optimizers with groups over it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.make import module_types


def image_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    )


def grouped(
    spec: dict[str, Any], model: nn.Module | None = None, *, loss_scale: float = 1.0
) -> FlatOptimizer:
    model = image_network() if model is None else model
    return optcore.make_optimizer(
        model.named_parameters(),
        {"kind": "momentum", **spec},
        modules=module_types(model),
        loss_scale=loss_scale,
    )
