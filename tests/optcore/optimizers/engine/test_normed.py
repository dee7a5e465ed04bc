"""Rules that need norms: parameters that share a pass keep the bits that they have alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import optcore
from tests.support.optcore.updates.optimizer_steps import same_bits

UNCLIPPED = {"clip": {"kind": "global_norm", "max": 1e9}}
"""In place of the clip of timm's lamb, whose norm is that of all parameters."""
SPECS: list[dict[str, Any]] = [
    {"kind": "lamb", "weight_decay": 0.01},
    {"kind": "lamb", "dialect": "timm", "cautious": True, **UNCLIPPED},
    {"kind": "lamb", "multi_precision": True},
    {"kind": "lars", "weight_decay": 0.01},
    {"kind": "lars", "dialect": "timm", "nesterov": True, "weight_decay": 0.01},
    {"kind": "mars", "optimize_1d": True},
    {"kind": "mars", "mars_type": "lion", "optimize_1d": True},
    {"kind": "fromage"},
    {"kind": "adamw", "dialect": "timm", "cautious": True},
]
SIZES = (37, 1, 0, 129, 70_000, 65_535, 4_099, 540_001)
"""Among them sizes that fill no register, and a size of more than one slice."""


@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_parameters_together_have_the_bits_of_each_alone(
    spec: dict[str, Any], dtype: torch.dtype, aligned: bool
) -> None:
    together, alone = parameters(dtype), parameters(dtype)
    whole = optcore.make_optimizer(together.items(), {**spec, "lr": 0.01})
    each = [optcore.make_optimizer([pair], {**spec, "lr": 0.01}) for pair in alone.items()]

    for optimizer in (whole, *each):
        optimizer.align(aligned)
    for _ in range(3):
        for optimizer in (whole, *each):
            optimizer.step()

    slots = whole.named_slots()
    for optimizer, name in zip(each, together, strict=True):
        mine = optimizer.named_slots()
        assert same_bits(
            [together[name].detach(), *(slots[slot][name] for slot in slots)],
            [alone[name].detach(), *(mine[slot][name] for slot in slots)],
        ), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_pass_that_continues_has_the_bits_of_one_that_computes_everything_again(
    spec: dict[str, Any], dtype: torch.dtype
) -> None:
    """In a model of 8 times its size, what the first pass computes of a parameter is kept."""
    found = []
    for others in ({}, {"large": torch.ones(4_400_000, dtype=dtype, requires_grad=True)}):
        params = {"p7": parameters(dtype)["p7"], **others}
        for other in others.values():
            other.grad = torch.ones_like(other)
        optimizer = optcore.make_optimizer(params.items(), {**spec, "lr": 0.01})
        for _ in range(3):
            optimizer.step()
        slots = optimizer.named_slots()
        found.append([params["p7"].detach(), *(slots[slot]["p7"] for slot in slots)])
    assert same_bits(*found)


@pytest.mark.parametrize(
    "spec", [{"kind": "lamb"}, {"kind": "lars"}, {"kind": "mars", "optimize_1d": True}], ids=str
)
def test_a_float32_copy_has_the_bits_of_a_float32_parameter(spec: dict[str, Any]) -> None:
    narrow = parameters(torch.bfloat16)
    wide = {name: param.detach().float().requires_grad_() for name, param in narrow.items()}
    spec = {**spec, "dialect": "timm", "lr": 0.01, **UNCLIPPED}
    copies = optcore.make_optimizer(
        narrow.items(), {**spec, "multi_precision": True}, loss_scale=3.0
    )
    plain = optcore.make_optimizer(wide.items(), spec, loss_scale=3.0)

    for _ in range(2):
        for name, param in narrow.items():
            assert param.grad is not None
            wide[name].grad = param.grad.float()
        copies.step()
        plain.step()

    masters = copies.named_slots()["master_weight"]
    assert same_bits([masters[name] for name in wide], [wide[name].detach() for name in wide])


def parameters(dtype: torch.dtype) -> dict[str, Tensor]:
    """Return parameters of all `SIZES` by name, with gradients of different magnitude."""
    torch.manual_seed(0)
    found = {}
    for i, size in enumerate(SIZES):
        param = (torch.randn(size) * (i + 0.1)).to(dtype).requires_grad_()
        param.grad = (torch.randn(size) * 0.1 * (i + 1)).to(dtype)
        found[f"p{i}"] = param
    return found


@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "unaligned"])
def test_ranges_hold_whole_parameters_and_end_with_the_last_element(aligned: bool) -> None:
    optimizer = optcore.make_optimizer(parameters(torch.float32).items(), {"kind": "lamb"})
    optimizer.align(aligned)
    (state,) = optimizer.states()

    ((_, spans),) = state.updates()

    assert spans.aligned == aligned
    assert spans.inside is not None
    assert [inside.sizes for inside in spans.inside] == [
        [70_000],
        [540_001],
        [37, 1, 0, 129, 65_535, 4_099],
    ]
    lengths = [param.numel() for param in spans.params]
    assert [sum(inside.lengths) for inside in spans.inside] == lengths
    assert [grad.numel() for grad in spans.grads] == lengths
    # In the last range, parameters start on 128 bytes, which is 32 elements.
    assert spans.inside[-1].lengths == [64, 32, 0, 160, 65_536, 4_099]
