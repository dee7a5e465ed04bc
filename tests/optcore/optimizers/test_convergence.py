"""Every optimizer finds the minimum of small problems with one lr of a short fixed list."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import optcore
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from tests.support.optcore.updates.optimizer_specs import engines
from tests.support.optcore.updates.optimizer_steps import network, same_bits, train, weights

every_engine = pytest.mark.parametrize(("kind", "engine"), engines())
LRS = (None, 0.01, 0.1, 1.0, 10.0)
"""The default, then a short fixed list."""


def parabola(p: Tensor) -> Tensor:
    return (p * torch.tensor([[1.0, 3.0], [0.5, 2.0]])).square().sum()


def rosenbrock(p: Tensor) -> Tensor:
    x, y = p[:, 0], p[:, 1]
    return ((1 - x).square() + 10 * (y - x * x).square()).sum()


def matrix(p: Tensor) -> Tensor:
    target = torch.tensor([[2.0, -1.0], [0.5, 1.5]])
    return (p @ target - torch.eye(2)).square().sum()


TARGETS: list[tuple[Callable[[Tensor], Tensor], float]] = [
    (parabola, 0.05),
    (rosenbrock, 0.3),
    (matrix, 0.1),
]


@pytest.mark.long
@every_engine
@pytest.mark.parametrize(("target", "bar"), TARGETS, ids=lambda x: getattr(x, "__name__", ""))
def test_it_converges(
    kind: str, engine: str, target: Callable[[Tensor], Tensor], bar: float
) -> None:
    """From `start` to a share of the loss there, with default hyperparameters and an lr of LRS."""
    wanted = bar * float(target(start().detach()))

    assert any(lowest({"kind": kind, "engine": engine}, lr, target) <= wanted for lr in LRS)


def start() -> Tensor:
    return torch.tensor([[-0.5, 1.5], [1.0, -1.0]], requires_grad=True)


def with_lr(spec: dict[str, Any], lr: float | None) -> dict[str, Any]:
    return spec if lr is None else {**spec, "lr": lr}


def lowest(spec: dict[str, Any], lr: float | None, target: Callable[[Tensor], Tensor]) -> float:
    param, best = start(), math.inf
    optimizer = optcore.make_optimizer([("w", param)], with_lr(spec, lr))

    def closure() -> float:
        optimizer.zero_grad()
        loss = target(param)
        loss.backward()
        return float(loss.detach())

    for _ in range(400):
        loss = optimizer.step(closure)
        assert loss is not None
        if not math.isfinite(loss):
            break
        best = min(best, loss)
    return best


@pytest.mark.long
@every_engine
def test_it_learns_digits(kind: str, engine: str) -> None:
    digits = load_digits()
    images = torch.tensor(digits.data[:600] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target[:600])

    def loss_after(lr: float | None) -> float:
        torch.manual_seed(0)
        model = nn.Linear(64, 10)
        optimizer = optcore.make_optimizer(
            model.named_parameters(), with_lr({"kind": kind, "engine": engine}, lr)
        )

        def closure() -> float:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            return float(loss.detach())

        for _ in range(200):
            optimizer.step(closure)
        return closure()

    assert any(loss_after(lr) <= 1.0 for lr in LRS)  # from 2.3


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind != "lbfgs"])
def test_lr_may_rise_from_0(kind: str) -> None:
    model = network()
    before = weights(model)
    rising = {"kind": "linear", "start_fraction": 0.0, "end_fraction": 1.0}
    optimizer = optcore.make_optimizer(
        model.named_parameters(), {"kind": kind, "lr": 0.01}, schedule=rising, total_steps=4
    )

    train(model, optimizer, range(1))
    # lr is the size of rprop's first step alone. madgrad computes the parameters from their mean,
    # so that a step of 0 may move their last bit.
    if kind not in ("rprop", "madgrad"):
        assert same_bits(weights(model), before)
    train(model, optimizer, range(1, 4))

    assert not same_bits(weights(model), before)
    assert all(bool(torch.isfinite(weight).all()) for weight in weights(model))
