"""A slot has the name that its rule gives it, in every state that is saved and loaded."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from optcore.optimizers.engine.engines import Eager
from optcore.optimizers.engine.group_update import compile_group
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.engine.transforms.clipping import GradScale, GradScales
from optcore.optimizers.make import parse
from tests.support.optcore.updates.pure import rule_of


def with_slot(name: str, param: Tensor) -> FlatOptimizer:
    """Return an optimizer for *param* whose rule has one slot, the sum of gradients."""

    def update(p: Tensor, g: Tensor, total: Tensor, *, lr: float) -> tuple[Tensor, ...]:
        total = total + g
        return p - lr * total, total

    rule = rule_of(update, name)
    described = compile_group(parse({"kind": "sgd"}), single_precision=True)
    described = replace(described, rule=rule, engine=Eager(rule, {}))
    return FlatOptimizer(
        [(described, [("w", param)])], kind="made_up", grad_scales=GradScales([GradScale(1.0)])
    )


def stepped(optimizer: FlatOptimizer, param: Tensor) -> Tensor:
    param.grad = torch.ones_like(param)
    optimizer.step()
    return param.detach().clone()


@pytest.mark.parametrize("name", ["total", "mu", "mu_product", "lr", "t", "torch", "params"])
def test_a_slot_of_any_name_comes_back_from_state_dict(name: str) -> None:
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    first, second = (with_slot(name, param) for param in params)
    stepped(first, params[0])
    state = copy.deepcopy(first.state_dict())

    params[1].data.copy_(params[0].data)
    second.load_state_dict(state)

    assert state["state"][0][name].tolist() == [1, 1, 1]
    assert second.named_slots()[name]["w"].tolist() == [1, 1, 1]
    assert torch.equal(stepped(second, params[1]), stepped(first, params[0]))


@pytest.mark.parametrize("name", ["step", "master_weight"])
def test_a_slot_named_like_an_entry_that_every_state_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"sgd must not name a slot {name}, which is reserved"):
        with_slot(name, torch.ones(3, requires_grad=True))
