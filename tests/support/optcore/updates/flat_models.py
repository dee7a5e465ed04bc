"""Small models, our optimizers over them, and single steps, for the tests of flat buffers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer
from tests.support.optcore.updates.optimizer_steps import weights

Model = nn.Sequential


def model(dtype: torch.dtype = torch.float32) -> Model:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).to(dtype)


def images_model(dtype: torch.dtype = torch.float64) -> Model:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).to(dtype)


def ours(net: nn.Module, kind: str = "adam", **more: Any) -> FlatOptimizer:
    return optcore.make_optimizer(net.named_parameters(), {"kind": kind, "lr": 0.1, **more})


def backward(net: nn.Module, shape: tuple[int, ...] = (2, 4), **more: Any) -> None:
    inputs = torch.ones(shape, dtype=next(net.parameters()).dtype)
    net(inputs).square().mean().backward(**more)


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    backward(net)
    optimizer.step()


def close(pair: tuple[nn.Module, nn.Module]) -> None:
    for a, b in zip(weights(pair[0]), weights(pair[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
