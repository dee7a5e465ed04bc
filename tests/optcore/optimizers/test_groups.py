"""Groups: who is in which, what holds there, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.engine.tensorwise import Centralized
from optcore.optimizers.make import module_types
from optcore.schedules.families.annealing import Linear
from optcore.schedules.families.piecewise import Constant
from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    )


def make(spec: dict[str, Any], model: nn.Module | None = None) -> FlatOptimizer:
    model = network() if model is None else model
    return optcore.make_optimizer(
        model.named_parameters(), {"kind": "momentum", **spec}, modules=module_types(model)
    )


def names(optimizer: FlatOptimizer) -> list[list[str]]:
    return [group["param_names"] for group in optimizer.param_groups]


def test_the_first_group_that_matches_holds_and_the_rest_is_a_group() -> None:
    optimizer = make(
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
def test_a_number_of_a_group_does_not_move_with_the_optimizers(spec: dict[str, Any]) -> None:
    optimizer = optcore.make_optimizer(
        network().named_parameters(),
        {"kind": "adamw", "lr": 0.1, "weight_decay": MOVING, **spec},
        total_steps=4,
    )

    decays = {n: g["weight_decay"] for g in optimizer.param_groups for n in g["param_names"]}

    assert decays["0.weight"] == 0.1
    assert decays["0.bias"] == decays["4.bias"] == 0


def test_a_group_may_move_a_number_by_itself() -> None:
    slower = {**MOVING, "value": 0.2}
    optimizer = optcore.make_optimizer(
        network().named_parameters(),
        {
            "kind": "adamw",
            "weight_decay": MOVING,
            "groups": [{"match": "*bias", "weight_decay": slower}, {"match": "0.*", "lr": 0.5}],
        },
        total_steps=4,
    )

    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.1, 0.1]


def test_norms_and_biases_are_not_decayed_by_a_preset() -> None:
    optimizer = make({"weight_decay": 0.1, "groups": [{"preset": "no_decay_norm_bias"}]})

    decayed = {
        name
        for group in optimizer.param_groups
        for name in group["param_names"]
        if group["weight_decay"]
    }

    assert decayed == {"0.weight", "4.weight"}


def test_lr_falls_from_the_last_layer_to_the_first_by_a_preset() -> None:
    optimizer = make({"lr": 1.0, "groups": [{"preset": "layer_decay", "factor": 0.5}]})

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
    optimizer = make(
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
            "loss_scale": 4.0,
            "grad_centralization": True,
        },
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


def test_muon_leaves_what_is_no_matrix_to_adamw() -> None:
    optimizer = make({"kind": "muon"})

    assert names(optimizer) == [
        ["4.weight"],
        ["0.weight", "0.bias", "1.weight", "1.bias", "4.bias"],
    ]
    assert [update.kind for update in optimizer._group_updates] == ["muon", "adamw"]


def test_muons_adamw_shares_what_is_said_of_all() -> None:
    optimizer = optcore.make_optimizer(
        network().named_parameters(),
        {
            "kind": "muon",
            "engine": "eager",
            "grad_centralization": True,
            "adamw_lr_scale": 0.5,
            "lr": {"kind": "linear", "value": 0.1, "end": 0.02},
        },
        total_steps=4,
    )

    assert optimizer.engine == "eager"
    assert all(isinstance(update.engine, Centralized) for update in optimizer._group_updates)
    assert [plan["lr"](4) for plan in optimizer._plans] == pytest.approx([0.02, 0.01])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"lr": -1.0}, "lr: lr must be positive, got -1.0"),
        ({"lr": float("nan")}, "lr: lr must be positive, got nan"),
        ({"momentum": 1.5}, "momentum: momentum must be at most 1, got 1.5"),
        ({"momentom": 0.9}, "momentom: unknown field 'momentom'; did you mean 'momentum'?"),
        (
            {"dialect": "paddle", "dampening": 0.1},
            "dampening: dampening does not exist for momentum in dialect paddle, only in torch, m",
        ),
        (
            {"kind": "lion", "dialect": "torch"},
            "dialect: dialect of lion must be one of article, keras, got 'torch'",
        ),
        (
            {"groups": [{"match": "*.bais", "lr": 0.1}]},
            "groups[0].match: match must find a parameter, got '*.bais'; did you mean",
        ),
        (
            {"groups": [{"match": "*"}, {"match": "*.bias"}]},
            "groups[1].match: match must find a parameter that no earlier group has, got '*.bias'",
        ),
        (
            {"groups": [{"match": "*", "momentun": 0.1}]},
            "groups[0].momentun: unknown field 'momentun'; did you mean 'momentum'?",
        ),
        (
            {"groups": [{"match": {"naem": "*"}, "lr": 0.1}]},
            "groups[0].match.naem: unknown field 'naem'; did you mean 'name'? (name, ndim, module)",
        ),
        (
            {"groups": [{"match": {"name": 5}, "lr": 0.1}]},
            "groups[0].match.name: name must be a string, got 5",
        ),
        (
            {"groups": [{"match": ["*"], "lr": 0.1}]},
            "groups[0].match: match must be a string, got ['*']",
        ),
        (
            {"groups": [{"match": "*", "learning_rate": 0.1}]},
            "groups[0].learning_rate: unknown field 'learning_rate'; did you mean 'lr'? (",
        ),
        (
            {"kind": "rmsprop", "alpha": 0.9},
            "alpha: unknown field 'alpha'; did you mean 'rho'? (",
        ),
        (
            {"groups": [{"match": "0.*", "lr_scale": 1e300, "lr": 1e300}]},
            "groups[0].lr_scale: lr * lr_scale must be a finite number, got 1e+300 * 1e+300 = inf",
        ),
        (
            {"dialect": "paddle", "lr": 1.0, "groups": [{"match": "0.*", "lr_scale": 1e39}]},
            "groups[0].lr_scale: lr * lr_scale must be a finite number as a float32, which is what",
        ),
        (
            {"groups": [{"match": "*", "lr": 0.0}]},
            "groups[0].lr: lr must be positive, got 0.0",
        ),
        ({"groups": [{"lr": 1.0}]}, "groups[0].match: give either match or preset, got neither"),
        (
            {"groups": [{"match": "*", "loss_scale": 2.0}]},
            "groups[0].loss_scale: loss_scale holds for all groups: set it beside groups",
        ),
        (
            {"groups": [{"match": "*", "clip": {"kind": "norm", "max": -1.0}}]},
            "groups[0].clip.max: max must be positive, got -1.0",
        ),
        (
            {"groups": [{"match": "*", "clip": {"kind": "norms", "max": 1.0}}]},
            "groups[0].clip.kind: kind must be one of value, norm, global_norm, got 'norms'; did y",
        ),
        (
            {"groups": [{"match": "*", "clip": 5.0}]},
            "groups[0].clip: clip must be an object, got 5.0",
        ),
        (
            {"order_params": ["0.weight"]},
            "order_params: order_params must name every parameter, got none of 0.bias, 1.weight",
        ),
        (
            {"clip": {"kind": "global_norm", "max": 0.0}},
            "clip.max: max must be positive, got 0.0",
        ),
        (
            {"kind": "muon", "exclude": ["0.*", "head.*"]},
            "exclude[1]: exclude must find a parameter, got 'head.*' (0.weight, 0.bias, 1.weight",
        ),
        (
            {"kind": "sag", "schedules": {"batch_num": {"kind": "linear"}}},
            "schedules.batch_num: schedules must move hyperparameters of sag (weight_decay, l1, l",
        ),
        (
            {"kind": "adagrad", "initial_accumulator_value": {"kind": "linear", "value": 0.1}},
            "schedules.initial_accumulator_value: schedules must move hyperparameters of adagrad (",
        ),
        (
            {"engine": "fused", "momentum": {"kind": "linear", "value": 0.9}},
            "engine: engine fused does not exist for momentum in dialect torch",
        ),
        (
            {"schedules": {"epsilon": {"kind": "constant"}}},
            "schedules.epsilon: schedules must move hyperparameters of momentum (",
        ),
    ],
)
def test_a_mistake_names_the_field_the_rule_and_the_value(
    spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        make(spec)

    assert str(caught.value).startswith(message)


def test_a_group_of_frozen_parameters_is_refused() -> None:
    model = network()
    model[0].requires_grad_(False)

    with pytest.raises(SpecError, match=r"trainable parameter, got '0\.\*', which finds only fr"):
        make({"groups": [{"match": "0.*", "lr": 0.1}]}, model)


def test_a_matrix_optimizer_without_a_matrix_is_refused() -> None:
    with pytest.raises(SpecError, match=r"muon needs a parameter of two dimensions, got only 1.w"):
        make({"kind": "muon"}, nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)))


def test_bfloat16_parameters_are_updated_through_float32_copies() -> None:
    low, high = network().bfloat16(), network()
    high.load_state_dict({k: v.bfloat16().float() for k, v in network().state_dict().items()})
    pair = [make({"multi_precision": True, "lr": 1e-3}, low), make({"lr": 1e-3}, high)]

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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight_decay": 10.0}, "weight_decay: weight_decay must be 0.0 for lbfgs, which is "),
        ({"decoupled_weight_decay": True}, "decoupled_weight_decay: decoupled_weight_decay must "),
        ({"l1": 0.1}, "l1: l1 must be 0.0 for lbfgs, which is torch's own and has nothing else, "),
        ({"maximize": True}, "maximize: maximize must be false for lbfgs, "),
        (
            {"clip": {"kind": "norm", "max": 1.0}},
            "clip: clip must be null for lbfgs, which is torch's own and has nothing else, got "
            "{'kind': 'norm', 'max': 1.0}",
        ),
        ({"loss_scale": 2.0}, "loss_scale: loss_scale must be 1.0 for lbfgs, "),
        ({"average": {}}, "average: average must be null for lbfgs, "),
        ({"groups": [{"match": "*", "lr": 0.1}]}, "groups: groups must be [] for lbfgs, "),
        ({"lr": {"kind": "linear"}}, "schedules: schedules must be {} for lbfgs, "),
    ],
)
def test_lbfgs_refuses_what_torchs_own_does_not_have(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make({"kind": "lbfgs", **given})

    assert str(caught.value).startswith(message)


def test_lbfgs_refuses_a_schedule_that_moves_lr() -> None:
    named = list(network().named_parameters())
    still, falling = Constant(kind="constant"), Linear(kind="linear")

    optcore.make_optimizer(named, {"kind": "lbfgs"}, schedule=still, total_steps=9)
    with pytest.raises(SpecError, match=r"schedule\.kind: kind must be constant for lbfgs, .*'lin"):
        optcore.make_optimizer(named, {"kind": "lbfgs"}, schedule=falling, total_steps=9)
    with pytest.raises(SpecError, match=r"schedule\.kind: kind must be constant for lbfgs, .*'lin"):
        RunSpec.parse(
            {
                "model": {"kind": "mlp"},
                "dataset": {"kind": "digits"},
                "optimizer": {"kind": "lbfgs"},
                "schedule": {"kind": "linear"},
                "training": {"steps": 9},
            }
        )


def test_a_norm_per_group_limits_each_group_by_its_own() -> None:
    """Paddle clips every parameter group by itself; a ParamAttr makes no group there."""
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    optimizer = optcore.make_optimizer(
        [("a", a), ("b", b)],
        {
            "kind": "sgd",
            "lr": 1.0,
            "dialect": "paddle",
            "clip": {"kind": "global_norm", "max": 1.0, "per_group": True},
            "groups": [{"match": "a", "weight_decay": 0.1}],
        },
    )
    a.grad, b.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    optimizer.step()

    torch.testing.assert_close(a.detach(), torch.tensor([-0.6, -0.8]))
    torch.testing.assert_close(b.detach(), torch.tensor([-0.3, -0.4]))


GLOBAL = {"kind": "global_norm", "max": 1.0}


@pytest.mark.parametrize(
    ("clip", "own", "moved"),
    [
        (GLOBAL, None, ([3.0, 4.0], [0.6, 0.8], [0.0, 0.0])),
        (GLOBAL, {"kind": "global_norm", "max": 2.5}, ([1.5, 2.0], [0.6, 0.8], [0.0, 0.0])),
        (GLOBAL, {"kind": "norm", "max": 2.5}, ([1.5, 2.0], [0.6, 0.8], [0.0, 0.0])),
        (GLOBAL, {"kind": "value", "max": 3.5}, ([3.0, 3.5], [0.6, 0.8], [0.0, 0.0])),
        ({"kind": "norm", "max": 2.5}, None, ([3.0, 4.0], [1.5, 2.0], [0.0, 0.0])),
        ({"kind": "value", "max": 3.5}, None, ([3.0, 4.0], [3.5, 3.5], [0.0, 0.0])),
        (None, {"kind": "global_norm", "max": 1.0}, ([0.6, 0.8], [6.0, 8.0], [0.0, 0.0])),
    ],
)
@pytest.mark.parametrize("loss_scale", [1.0, 8.0])
@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_a_group_is_clipped_by_its_own_clip_and_counts_in_no_norm_of_the_others(
    clip: dict[str, Any] | None,
    own: dict[str, Any] | None,
    moved: tuple[list[float], ...],
    loss_scale: float,
    engine: str,
) -> None:
    """As Paddle clips a group by its grad_clip, and a ParamAttr(need_clip=False) not at all."""
    params = {name: torch.zeros(2, requires_grad=True) for name in ("a", "b", "c")}
    optimizer = optcore.make_optimizer(
        params.items(),
        {
            "kind": "momentum",
            "lr": 1.0,
            "dialect": "paddle" if engine == "eager" else "torch",
            "engine": engine if engine == "eager" else "auto",
            "loss_scale": loss_scale,
            "clip": clip,
            "groups": [{"match": "a", "clip": own}],
        },
    )
    for name, grad in (("a", [3.0, 4.0]), ("b", [6.0, 8.0]), ("c", [0.0, 0.0])):
        params[name].grad = loss_scale * torch.tensor(grad)
    optimizer.step()

    for param, expected in zip(params.values(), moved, strict=True):
        torch.testing.assert_close(-param.detach(), torch.tensor(expected), rtol=3e-6, atol=1e-7)


def test_a_group_that_decay_splits_is_clipped_by_the_norm_of_the_whole_group() -> None:
    params = {name: torch.zeros(2, requires_grad=True) for name in ("a.w", "a.b", "c")}
    optimizer = optcore.make_optimizer(
        params.items(),
        {
            "kind": "adamw",
            "dialect": "paddleocr",
            "no_weight_decay_name": "b",
            "clip": {"kind": "global_norm", "max": 100.0},
            "groups": [{"match": "a.*", "clip": {"kind": "global_norm", "max": 1.0}}],
        },
    )
    for param in params.values():
        param.grad = torch.tensor([0.0, 2.0])

    factors = dict(
        zip(
            [tuple(group["param_names"]) for group in optimizer.param_groups],
            optimizer._grad_scales.factors(optimizer.param_groups),
            strict=True,
        )
    )

    shared = pytest.approx(1 / 8**0.5)
    assert factors == {("a.b",): shared, ("a.w",): shared, ("c",): 1.0}


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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"beta1": {"kind": "linear", "value": 0.9, "end": 1.5}},
            "schedule of beta1, group 'all': beta1 must be below 1 at every step, got 1.0",
        ),
        (
            {
                "lr": {"kind": "constant", "value": 1e200, "factor": 1e50},
                "groups": [{"match": "0.*", "lr_scale": 1e60}],
            },
            "schedule of lr, group '0.*': schedule of lr, group '0.*' must give a finite number",
        ),
    ],
)
def test_a_schedule_that_leaves_its_limits_is_refused_before_the_first_step(
    spec: dict[str, Any], message: str
) -> None:
    named = network().named_parameters()

    with pytest.raises(SpecError) as caught:
        optcore.make_optimizer(named, {"kind": "adam", **spec}, total_steps=10)

    assert str(caught.value).startswith(message)
