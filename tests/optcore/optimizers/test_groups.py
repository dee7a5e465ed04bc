"""Groups: which parameters each has, and which hyperparameters hold for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.engine.tensorwise import Centralized
from tests.support.optcore.runs.grouped import grouped, image_network


def names(optimizer: FlatOptimizer) -> list[list[str]]:
    return [group["param_names"] for group in optimizer.param_groups]


def test_a_parameter_is_in_the_first_group_that_matches_or_in_the_rest() -> None:
    optimizer = grouped(
        {
            "weight_decay": 0.1,
            "groups": [
                {"match": "*.bias", "weight_decay": 0.0},
                {"match": {"module": "BatchNorm2d"}, "lr": 0.5},
                {"match": {"ndim": 4}, "lr_scale": 0.5},
            ],
        }
    )

    assert names(optimizer) == [
        ["0.bias", "1.bias", "4.bias"],
        ["1.weight"],
        ["0.weight"],
        ["4.weight"],
    ]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.1, 0.1, 0.1]
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 0.5, 5e-4, 1e-3]


MOVING = {"kind": "linear", "value": 0.1, "end": 0.05}


@pytest.mark.parametrize(
    "spec",
    [
        {"groups": [{"match": "*bias", "weight_decay": 0}]},
        {"groups": [{"preset": "no_decay_norm_bias"}]},
        {"dialect": "paddleocr", "no_weight_decay_name": "bias"},
    ],
)
def test_a_number_of_a_group_ignores_the_schedule_of_the_optimizer(spec: dict[str, Any]) -> None:
    optimizer = optcore.make_optimizer(
        image_network().named_parameters(),
        {"kind": "adamw", "lr": 0.1, "weight_decay": MOVING, **spec},
        total_steps=4,
    )

    decays = {n: g["weight_decay"] for g in optimizer.param_groups for n in g["param_names"]}

    assert decays["0.weight"] == 0.1
    assert decays["0.bias"] == decays["4.bias"] == 0


def test_a_group_may_schedule_a_number_by_itself() -> None:
    slower = {**MOVING, "value": 0.2}
    optimizer = optcore.make_optimizer(
        image_network().named_parameters(),
        {
            "kind": "adamw",
            "weight_decay": MOVING,
            "groups": [{"match": "*bias", "weight_decay": slower}, {"match": "0.*", "lr": 0.5}],
        },
        total_steps=4,
    )

    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.1, 0.1]


def test_the_preset_no_decay_norm_bias() -> None:
    optimizer = grouped({"weight_decay": 0.1, "groups": [{"preset": "no_decay_norm_bias"}]})

    decayed = {
        name
        for group in optimizer.param_groups
        for name in group["param_names"]
        if group["weight_decay"]
    }

    assert decayed == {"0.weight", "4.weight"}


def test_the_preset_layer_decay() -> None:
    optimizer = grouped({"lr": 1.0, "groups": [{"preset": "layer_decay", "factor": 0.5}]})

    lrs = {n: group["lr"] for group in optimizer.param_groups for n in group["param_names"]}

    assert (lrs["4.weight"], lrs["1.weight"], lrs["0.bias"]) == (1.0, 0.5, 0.25)


def test_mindspore_decays_no_beta_or_gamma_unless_there_are_groups() -> None:
    named = [(n, nn.Parameter(torch.ones(2))) for n in ("a.beta", "b.gamma", "c.weight")]
    spec = {"kind": "sgd", "dialect": "mindspore", "weight_decay": 0.1}

    alone = optcore.make_optimizer(named, spec)
    grouped = optcore.make_optimizer(named, {**spec, "groups": [{"match": "c.*"}]})

    assert {tuple(g["param_names"]): g["weight_decay"] for g in alone.param_groups} == {
        ("a.beta", "b.gamma"): 0.0,
        ("c.weight",): 0.1,
    }
    assert {group["weight_decay"] for group in grouped.param_groups} == {0.1}


def test_paddleocr_decays_neither_names_nor_single_dimensions() -> None:
    optimizer = grouped(
        {
            "kind": "adamw",
            "dialect": "paddleocr",
            "no_weight_decay_name": "4.w xyz",
            "one_dim_param_no_weight_decay": True,
        }
    )

    decayed = [g["param_names"] for g in optimizer.param_groups if g["weight_decay"]]

    assert decayed == [["0.weight"]]


def test_what_paddleocr_does_not_decay_keeps_everything_else_of_its_group() -> None:
    shapes = {"backbone.w": (2, 2), "backbone.b": (2,), "head.w": (2, 2), "head.b": (2,)}
    optimizer = optcore.make_optimizer(
        [(name, nn.Parameter(torch.ones(shape))) for name, shape in shapes.items()],
        {
            "kind": "adamw",
            "dialect": "paddleocr",
            "lr": 0.1,
            "weight_decay": 0.5,
            "one_dim_param_no_weight_decay": True,
            "groups": [{"match": "backbone.*", "lr_scale": 0.1}],
        },
    )

    held = {
        name: (round(group["lr"], 9), group["weight_decay"])
        for group in optimizer.param_groups
        for name in group["param_names"]
    }

    assert held == {
        "backbone.w": (0.01, 0.5),
        "backbone.b": (0.01, 0.0),
        "head.w": (0.1, 0.5),
        "head.b": (0.1, 0.0),
    }


def test_muon_trains_parameters_that_are_no_matrices_by_adamw() -> None:
    optimizer = grouped({"kind": "muon"})

    assert names(optimizer) == [
        ["4.weight"],
        ["0.weight", "0.bias", "1.weight", "1.bias", "4.bias"],
    ]
    assert [update.kind for update in optimizer._group_updates] == ["muon", "adamw"]


def test_the_adamw_of_muon_shares_the_common_options() -> None:
    optimizer = optcore.make_optimizer(
        image_network().named_parameters(),
        {
            "kind": "muon",
            "engine": "eager",
            "grad_centralization": True,
            "adamw_lr_scale": 0.5,
            "lr": 0.1,
        },
        schedule={"kind": "linear", "end": 0.02},
        total_steps=4,
    )

    assert optimizer.engine == "eager"
    assert all(isinstance(update.engine, Centralized) for update in optimizer._group_updates)
    assert [plan["lr"](4) for plan in optimizer._plans] == pytest.approx([0.02, 0.01])


def test_bfloat16_parameters_are_updated_through_float32_copies() -> None:
    low, high = image_network().bfloat16(), image_network()
    high.load_state_dict({k: v.bfloat16().float() for k, v in image_network().state_dict().items()})
    pair = [grouped({"multi_precision": True, "lr": 1e-3}, low), grouped({"lr": 1e-3}, high)]

    for _ in range(20):
        for model, optimizer in zip((low, high), pair, strict=True):
            for param in model.parameters():
                param.grad = torch.full_like(param, 0.01)
            optimizer.step()

    slots = pair[0].named_slots()
    assert {tensor.dtype for by in slots.values() for tensor in by.values()} == {torch.float32}
    for name, param in high.named_parameters():
        torch.testing.assert_close(slots["master_weight"][name], param, rtol=1e-3, atol=1e-5)
        assert torch.equal(
            dict(low.named_parameters())[name], slots["master_weight"][name].bfloat16()
        )


def test_a_regularizer_of_a_group_joins_the_gradient_beside_a_decay_that_does_not() -> None:
    """As in Paddle, where a ParamAttr's regularizer leaves AdamW's own decay as it is."""
    weight = nn.Parameter(torch.tensor([2.0, -3.0]))
    by_hand = weight.detach().clone().requires_grad_()
    spec = {"kind": "adamw", "dialect": "paddle", "lr": 0.1, "weight_decay": 0.5}
    ours = optcore.make_optimizer(
        [("weight", weight)], {**spec, "groups": [{"match": "weight", "l2": 0.25}]}
    )
    theirs = optcore.make_optimizer([("weight", by_hand)], spec)

    for step in range(3):
        grad = torch.tensor([0.1, 0.2 - step])
        weight.grad = grad
        by_hand.grad = grad + 0.25 * by_hand.detach()
        ours.step()
        theirs.step()

    torch.testing.assert_close(weight, by_hand, rtol=1e-6, atol=1e-7)
