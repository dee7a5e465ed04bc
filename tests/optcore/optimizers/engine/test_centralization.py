"""Gradient centralization, with decay and clipping around it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import optcore


def test_centralized_gradients_have_rows_without_a_mean() -> None:
    weight, other = nn.Parameter(torch.randn(8, 16, 3, 3)), nn.Parameter(torch.ones(2, 8))
    before = weight.detach().clone()
    optimizer = optcore.make_optimizer(
        [("weight", weight), ("other", other)],
        {"kind": "momentum", "lr": 1.0, "momentum": 0.0, "grad_centralization": True},
    )
    weight.grad = torch.randn(8, 16, 3, 3)
    other.grad = torch.ones(2, 8)  # 8 is no multiple of 16

    optimizer.step()

    expected = weight.grad - weight.grad.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(before - weight.detach(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(other, torch.zeros(2, 8))


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_only_decay_that_joins_the_gradient_is_centralized_with_it(
    maximize: bool, decoupled: bool
) -> None:
    weight = nn.Parameter(torch.randn(4, 16, generator=torch.Generator().manual_seed(3)))
    before = weight.detach().clone()
    optimizer = optcore.make_optimizer(
        [("weight", weight)],
        {
            "kind": "sgd",
            "dialect": "mindspore",
            "engine": "eager",
            "lr": 0.5,
            "weight_decay": 0.1,
            "decoupled_weight_decay": decoupled,
            "maximize": maximize,
            "grad_centralization": True,
        },
        loss_scale=4.0,
    )
    grad = torch.randn(4, 16, generator=torch.Generator().manual_seed(4))
    weight.grad = grad * 4

    optimizer.step()

    ascent = -grad if maximize else grad
    if decoupled:
        step = ascent - ascent.mean(dim=1, keepdim=True)
        expected = before * (1 - 0.5 * 0.1) - 0.5 * step
    else:
        decayed = ascent + 0.1 * before
        expected = before - 0.5 * (decayed - decayed.mean(dim=1, keepdim=True))
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)


LAYOUTS = {
    "transposed": torch.randn(48, 32).t(),
    "rows innermost": torch.randn(16, 3, 8).permute(2, 0, 1),
    "channels last": torch.randn(8, 16, 3, 3).contiguous(memory_format=torch.channels_last),
    "one row": torch.randn(16, 1).t(),
    "large": torch.randn(1024, 600).t(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["sgd", "adafactor"])
def test_rows_are_those_of_the_indices_in_any_layout(layout: str, kind: str) -> None:
    value = LAYOUTS[layout]
    spec = {"kind": kind, "dialect": "mindspore", "weight_decay": 0.1, "grad_centralization": True}
    pair = [nn.Parameter(value.clone()), nn.Parameter(value.contiguous())]
    assert pair[0].stride() == value.stride()
    grad = torch.randn(value.shape) + torch.arange(value.shape[0]).view(-1, *[1] * (value.ndim - 1))

    for param in pair:
        optimizer = optcore.make_optimizer([("weight", param)], spec)
        param.grad = torch.empty_like(param).copy_(grad)
        optimizer.step()

    torch.testing.assert_close(pair[0].detach(), pair[1].detach(), rtol=1e-5, atol=1e-6)


def test_a_gradient_is_clipped_before_it_is_centralized() -> None:
    pair = [nn.Parameter(torch.zeros(2, 16)), nn.Parameter(torch.zeros(3))]
    optimizer = optcore.make_optimizer(
        [("weight", pair[0]), ("bias", pair[1])],
        {
            "kind": "sgd",
            "lr": 1.0,
            "clip": {"kind": "value", "max": 0.5},
            "grad_centralization": True,
        },
    )
    for i, param in enumerate(pair):
        param.grad = torch.randn(param.shape, generator=torch.Generator().manual_seed(i))

    optimizer.step()

    limited = [param.grad.clamp(-0.5, 0.5) for param in pair if param.grad is not None]
    expected = limited[0] - limited[0].mean(dim=1, keepdim=True)
    torch.testing.assert_close(-pair[0].detach(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(-pair[1].detach(), limited[1], rtol=1e-6, atol=1e-7)


def test_an_infinite_gradient_that_is_clipped_and_centralized_stops_nothing() -> None:
    weight = nn.Parameter(torch.ones(2, 16))
    optimizer = optcore.make_optimizer(
        [("weight", weight)],
        {
            "kind": "sgd",
            "dialect": "mindspore",
            "weight_decay": 0.1,
            "clip": {"kind": "global_norm", "max": 1.0},
            "grad_centralization": True,
        },
    )
    weight.grad = torch.ones(2, 16)
    weight.grad[0, 0] = torch.inf

    optimizer.step()

    assert torch.isnan(weight[0]).all()
    assert torch.isfinite(weight[1]).all()
