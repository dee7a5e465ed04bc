"""What a wrong optimizer spec is refused with: field, rule, value."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import optcore
from optcore.schedules.families.linear import Linear
from optcore.schedules.families.piecewise import Constant
from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.grouped import grouped, image_network


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
            "dialect: dialect of lion must be one of article, mindspore, keras, optax, "
            "timm, bitsandbytes, got 'torch'",
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
            "groups[0].match.naem: unknown field 'naem'; did you mean 'name'? "
            "(known: name, ndim, module)",
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
            "groups[0].learning_rate: unknown field 'learning_rate'; did you mean 'lr'? (known: ",
        ),
        (
            {"kind": "rmsprop", "alpha": 0.9},
            "alpha: unknown field 'alpha'; did you mean 'rho'? (known: ",
        ),
        (
            {"groups": [{"match": "0.*", "lr_scale": 1e300, "lr": 1e300}]},
            "groups[0].lr_scale: lr * lr_scale must be a finite number, got 1e+300 * 1e+300 = inf",
        ),
        (
            {"dialect": "paddle", "lr": 1.0, "groups": [{"match": "0.*", "lr_scale": 1e39}]},
            "groups[0].lr_scale: lr * lr_scale must be a finite number when paddle rounds it to fl",
        ),
        (
            {"groups": [{"match": "*", "lr": 0.0}]},
            "groups[0].lr: lr must be positive, got 0.0",
        ),
        (
            {"groups": [{"lr": 1.0}]},
            "groups[0].match: exactly one of match and preset must be given, got neither",
        ),
        (
            {"groups": [{"match": "*", "multi_precision": True}]},
            "groups[0].multi_precision: multi_precision applies to all groups: set it in the "
            "optimizer, not in a group",
        ),
        (
            {"groups": [{"match": "*", "clip": {"kind": "norm", "max": -1.0}}]},
            "groups[0].clip.max: max must be positive, got -1.0",
        ),
        (
            {"groups": [{"match": "*", "clip": {"kind": "norms", "max": 1.0}}]},
            "groups[0].clip.kind: kind must be one of value, norm, rms, adaptive, global_norm",
        ),
        (
            {"groups": [{"match": "*", "clip": 5.0}]},
            "groups[0].clip: clip must be an object, got 5.0",
        ),
        (
            {"order_params": ["0.weight"]},
            "order_params: order_params must name every parameter, got a list without 0.bias, 1.we",
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
            {"kind": "muon", "dialect": "keras", "adjust_lr": "original"},
            "adjust_lr: adjust_lr must be match_rms_adamw or none in dialect keras, got 'original'",
        ),
        (
            {"kind": "sag", "schedules": {"batch_num": {"kind": "linear"}}},
            "schedules.batch_num: schedules must be for hyperparameters of sag (weight_decay, l1,",
        ),
        (
            {"kind": "adagrad", "initial_accumulator_value": {"kind": "linear", "value": 0.1}},
            "schedules.initial_accumulator_value: schedules must be for hyperparameters of adagra",
        ),
        (
            {"engine": "fused", "momentum": {"kind": "linear", "value": 0.9}},
            "engine: engine must be auto or eager, got fused: torch has no fused kernel for mom",
        ),
        (
            {"schedules": {"epsilon": {"kind": "constant"}}},
            "schedules.epsilon: schedules must be for hyperparameters of momentum (",
        ),
    ],
)
def test_a_mistake_names_the_field_the_rule_and_the_value(
    spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        grouped(spec)

    assert str(caught.value).startswith(message)


def test_a_group_of_frozen_parameters_is_refused() -> None:
    model = image_network()
    model[0].requires_grad_(False)

    with pytest.raises(SpecError, match=r"trainable parameter, got '0\.\*', which finds only fr"):
        grouped({"groups": [{"match": "0.*", "lr": 0.1}]}, model)


def test_a_matrix_optimizer_without_a_matrix_is_refused() -> None:
    with pytest.raises(SpecError, match=r"muon needs a parameter of two dimensions, got only 1.w"):
        grouped({"kind": "muon"}, nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"beta1": {"kind": "linear", "value": 0.9, "end": 1.5}},
            "schedule of beta1, group 'all': beta1 must be below 1 at every step, got 1.0",
        ),
        (
            {
                "lr": 1e200,
                "groups": [
                    {
                        "match": "0.*",
                        "lr_scale": 1e60,
                        "schedule": {"kind": "constant", "factor": 1e50},
                    }
                ],
            },
            "schedule of lr, group '0.*': schedule of lr, group '0.*' must give a finite number",
        ),
    ],
)
def test_a_schedule_beyond_the_limits_of_its_hyperparameter_is_refused(
    spec: dict[str, Any], message: str
) -> None:
    named = image_network().named_parameters()

    with pytest.raises(SpecError) as caught:
        optcore.make_optimizer(named, {"kind": "adam", **spec}, total_steps=10)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight_decay": 10.0}, "weight_decay: weight_decay must be 0.0 for lbfgs, since "),
        ({"decoupled_weight_decay": True}, "decoupled_weight_decay: decoupled_weight_decay must "),
        ({"l1": 0.1}, "l1: l1 must be 0.0 for lbfgs, since torch's LBFGS supports no other value"),
        ({"maximize": True}, "maximize: maximize must be false for lbfgs, "),
        (
            {"clip": {"kind": "norm", "max": 1.0}},
            "clip: clip must be null for lbfgs, since torch's LBFGS supports no other value, got "
            "{'kind': 'norm', 'max': 1.0}",
        ),
        ({"groups": [{"match": "*", "lr": 0.1}]}, "groups: groups must be [] for lbfgs, "),
        (
            {"max_iter": 4, "schedules": {"tolerance_grad": {"kind": "linear"}}},
            "schedules: schedules must be {} for lbfgs, ",
        ),
    ],
)
def test_lbfgs_refuses_what_torchs_own_does_not_have(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        grouped({"kind": "lbfgs", **given})

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"loss_scale": 2.0},
            "loss_scale must be 1.0 for lbfgs, since torch's LBFGS supports no other value",
        ),
        ({"ema": {"kind": "keras"}}, "ema must be None for lbfgs, since torch's LBFGS supports "),
        ({"loss_scale": 0.0}, "loss_scale must be positive and finite, got 0.0"),
        ({"ema": {"kind": "keras", "decay": 2.0}}, "decay: decay must be at most 1, got 2.0"),
    ],
)
def test_arguments_that_an_optimizer_cannot_have_are_refused(
    given: dict[str, Any], message: str
) -> None:
    named = image_network().named_parameters()

    with pytest.raises(ValueError, match=f"^{message}"):
        optcore.make_optimizer(named, {"kind": "lbfgs"}, **given)


def test_lbfgs_refuses_a_schedule_that_moves_lr() -> None:
    named = list(image_network().named_parameters())
    still, falling = Constant(kind="constant"), Linear(kind="linear")

    optcore.make_optimizer(named, {"kind": "lbfgs"}, schedule=still, total_steps=9)
    with pytest.raises(SpecError, match=r"schedule: schedule must be constant, .*'lin"):
        optcore.make_optimizer(named, {"kind": "lbfgs"}, schedule=falling, total_steps=9)
    with pytest.raises(SpecError, match=r"schedule: schedule must be constant, .*'lin"):
        RunSpec.parse(
            {
                "model": {"kind": "mlp"},
                "dataset": {"kind": "digits"},
                "optimizer": {"kind": "lbfgs"},
                "schedule": {"kind": "linear"},
                "training": {"steps": 9},
            }
        )


def test_a_loss_scale_is_not_set_where_the_engine_would_not_apply_it() -> None:
    plain = grouped({"kind": "sgd", "engine": "eager"})
    scaled = grouped({"kind": "sgd", "engine": "eager"}, loss_scale=8.0)

    plain.loss_scale = 1.0
    scaled.loss_scale = 1.0
    scaled.loss_scale = 4.0

    assert scaled.loss_scale == 4.0
    with pytest.raises(
        ValueError,
        match="loss_scale must stay 1 in an optimizer that does not unscale gradients, got 8; "
        "make a new optimizer with loss_scale=8",
    ):
        plain.loss_scale = 8.0


def test_slots_of_another_shape_are_refused_and_change_nothing() -> None:
    """To copy would broadcast them."""
    optimizer = optcore.make_optimizer(nn.Linear(3, 2).named_parameters(), {"kind": "adam"})
    other = optcore.make_optimizer(nn.Linear(3, 1).named_parameters(), {"kind": "adam"})
    slots = {slot: {n: t + 7 for n, t in by.items()} for slot, by in other.named_slots().items()}
    rule = r"exp_avg of weight must have shape \(2, 3\), got \(1, 3\)"

    with pytest.raises(ValueError, match=rule):
        optimizer.load_named(slots, {"weight": 1, "bias": 1})

    assert optimizer.named_counts() == {"weight": 0, "bias": 0}
    assert all(not t.any() for by in optimizer.named_slots().values() for t in by.values())

    state = {0: {"step": 1, **{slot: by["weight"] for slot, by in slots.items()}}}
    with pytest.raises(ValueError, match=rule):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
