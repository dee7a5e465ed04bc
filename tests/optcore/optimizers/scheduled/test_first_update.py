"""State that is made from a hyperparameter is made from its value in the first update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import optcore

GRADIENTS = [[0.5, -0.25], [0.5, 0.25], [-0.5, 0.25], [0.5, 0.25], [0.5, -0.25], [0.5, -0.25]]
RISING = {
    "kind": "linear",
    "dialect": "torch",
    "start_fraction": 0.1,
    "end_fraction": 1.0,
    "length": 5,
}


def test_the_first_step_size_of_rprop_is_the_scheduled_lr() -> None:
    """The numbers are those of torch 2.13: LinearLR from 0.1 in front of Rprop(lr=0.02)."""
    param = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = optcore.make_optimizer(
        [("w", param)], {"kind": "rprop", "lr": 0.02}, schedule=RISING, total_steps=6
    )

    seen = [after(optimizer, param, grad) for grad in GRADIENTS]

    expected = [
        [0.998, -1.998],
        [0.9956, -1.998],
        [0.9956, -1.9989999999999999],
        [0.9944000000000001, -2.0002],
        [0.9929600000000001, -2.0002],
        [0.9912320000000001, -1.9996],
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dialect", ["torch", "paddle", "mindspore"])
def test_the_first_step_size_of_rprop_is_an_lr_set_before_the_first_update(dialect: str) -> None:
    param = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = optcore.make_optimizer(
        [("w", param)], {"kind": "rprop", "lr": 0.02, "dialect": dialect}
    )
    optimizer.param_groups[0]["lr"] = 0.005

    first = after(optimizer, param, [1.0])
    second = after(optimizer, param, [1.0])

    assert first == pytest.approx([0.995])
    assert second == pytest.approx([0.989])


def test_rprop_resumes_with_the_step_sizes_that_it_had() -> None:
    param = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = optcore.make_optimizer([("w", param)], {"kind": "rprop", "lr": 0.02})
    for grad in GRADIENTS[:2]:
        after(optimizer, param, grad)
    other = param.detach().clone().requires_grad_()
    resumed = optcore.make_optimizer([("w", other)], {"kind": "rprop", "lr": 0.5})
    resumed.load_named(optimizer.named_slots(), optimizer.named_counts())

    for grad in GRADIENTS[2:]:
        assert after(resumed, other, grad) == after(optimizer, param, grad)


def after(optimizer: Any, param: torch.Tensor, grad: list[float]) -> list[float]:
    """Return the parameter after an update with *grad*."""
    param.grad = torch.tensor(grad, dtype=param.dtype)
    optimizer.step()
    return [float(value) for value in param.detach()]


@pytest.mark.parametrize("engine", ["eager", "auto"])
def test_means_that_cancel_in_float32_move_nothing_in_mindcvs_lion(engine: str) -> None:
    """With one rounding less the three sums are about -3e-9, -7e-9 and -2e-9: a whole step."""
    means = torch.tensor([0.10490011423826218, -0.218791663646698, 0.1257302165031433])
    param = torch.ones(3, requires_grad=True)
    spec = {"kind": "lion", "dialect": "mindspore", "lr": 0.125, "engine": engine}
    optimizer = optcore.make_optimizer([("w", param)], spec)
    optimizer.named_slots()["exp_avg"]["w"].copy_(means)
    param.grad = torch.tensor([-0.9441007971763611, 1.969124436378479, -1.131571650505066])

    optimizer.step()

    # Both as recorded from the Lion of mindcv 0.5 in MindSpore 2.10.
    assert param.tolist() == [1.0, 1.0, 1.0]
    recorded = [0.09441012144088745, -0.19691252708435059, 0.11315721273422241]
    assert optimizer.named_slots()["exp_avg"]["w"].tolist() == recorded
