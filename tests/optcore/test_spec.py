"""What a spec accepts, and the sentences it refuses with."""

import copy
from typing import Any

import pytest
from pydantic import TypeAdapter
from torch import nn

from optcore.spec.errors import SpecError
from optcore.spec.layers.base import RESERVED_NAMES
from optcore.spec.optimizers.adam import Adam
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS, AnyOptimizer
from optcore.spec.optimizers.rounded import float32
from optcore.spec.run import RunSpec

RUN: dict[str, Any] = {
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist", "batch_size": 100},
    "optimizer": {"kind": "adam"},
    "training": {"epochs": 1},
}


def with_(path: str, value: object) -> dict[str, Any]:
    data = copy.deepcopy(RUN)
    *parents, last = path.split(".")
    here = data
    for part in parents:
        here = here.setdefault(part, {})
    here[last] = value
    return data


def only_problem(data: object) -> tuple[str, str]:
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)
    assert len(caught.value.problems) == 1, caught.value.problems
    problem = caught.value.problems[0]
    return problem.param, problem.message


@pytest.mark.parametrize(
    ("path", "value", "param", "message"),
    [
        (
            "optimizer.kind",
            "adm",
            "optimizer.kind",
            f"kind must be one of {', '.join(OPTIMIZERS)}, got 'adm'; did you mean 'adam'?",
        ),
        (
            "optimizer.bta1",
            0.9,
            "optimizer.bta1",
            "unknown field 'bta1'; did you mean 'beta1'? "
            "(known: kind, dialect, engine, weight_decay, decoupled_weight_decay, "
            "corrected_weight_decay, l1, l2, maximize, grad_centralization, clip, "
            "clip_update, multi_precision, groups, order_params, schedules, beta1, beta2, "
            "cautious, lr, eps, eps_root, amsgrad, nesterov)",
        ),
        ("optimizer.lr", 0.0, "optimizer.lr", "lr must be positive, got 0.0"),
        ("optimizer.lr", -1e-3, "optimizer.lr", "lr must be positive, got -0.001"),
        ("optimizer.lr", float("nan"), "optimizer.lr", "lr must be positive, got nan"),
        ("optimizer.lr", float("inf"), "optimizer.lr", "lr must be a finite number, got inf"),
        ("optimizer.lr", "0.1", "optimizer.lr", "lr must be a number, got '0.1'"),
        ("optimizer.lr", True, "optimizer.lr", "lr must be a number, got true"),
        ("optimizer.beta1", 1.0, "optimizer.beta1", "beta1 must be below 1, got 1.0"),
        (
            "optimizer.dialect",
            "padle",
            "optimizer.dialect",
            "dialect must be one of torch, paddle, paddleocr, mindspore, keras, tf1, article, "
            "optax, transformers, timm, bitsandbytes, got 'padle'; did you mean 'paddle'?",
        ),
        (
            "optimizer",
            {"kind": "adagrad", "dialect": "paddle"},
            "optimizer.lr",
            "lr is required: adagrad has no default in dialect paddle",
        ),
        (
            "optimizer",
            {"kind": "adam", "dialect": "article", "amsgrad": True},
            "optimizer.amsgrad",
            "amsgrad does not exist for adam in dialect article, only in torch, paddle, "
            "mindspore, keras, optax",
        ),
        (
            "optimizer",
            {"kind": "momentum", "momentum": 1.5},
            "optimizer.momentum",
            "momentum must be at most 1, got 1.5",
        ),
        (
            "optimizer",
            {"kind": "rmsprop", "engine": "fused", "centered": True},
            "optimizer.engine",
            "engine must be auto or eager, got fused: torch has no fused kernel for rmsprop in "
            "dialect torch with these fields",
        ),
        (
            "schedule",
            {"kind": "cosine", "warmup": {"length": 600}},
            "schedule.warmup.length",
            "length must be shorter than the run of 600 steps, got 600 steps",
        ),
        (
            "schedule",
            {"kind": "cosine", "warmup": {"length": {"epochs": 1.5}}},
            "schedule.warmup.length",
            "length must be shorter than the run of 600 steps, got 1.5 epochs (900 steps)",
        ),
        (
            "schedule",
            {"kind": "piecewise", "boundaries": [10, 20], "values": [0.1, 0.01]},
            "schedule.values",
            "values must have one entry more than boundaries: 3 for 2 boundaries, got 2",
        ),
        (
            "schedule",
            {"kind": "piecewise", "boundaries": [20, 10], "values": [0.1, 0.01, 0.001]},
            "schedule.boundaries[1]",
            "boundaries must increase, got 10 steps after 20 steps",
        ),
        (
            "schedule",
            {"kind": "piecewise", "boundaries": [20, {"epochs": 0.01}], "values": [1.0, 1.0, 1.0]},
            "schedule.boundaries[1]",
            "boundaries must increase, got 0.01 epochs (6 steps) after 20 steps",
        ),
        (
            "schedule",
            {"kind": "step", "every": 0},
            "schedule.every",
            "every must be at least 1, got 0",
        ),
        (
            "schedule",
            {"kind": "step", "every": {"epochs": 0.0001}},
            "schedule.every",
            "every must be at least 1 step, got 0.0001 epochs (0.06 steps)",
        ),
        (
            "schedule",
            {"kind": "step", "every": {"epochs": -1}},
            "schedule.every.epochs",
            "epochs must be positive, got -1",
        ),
        (
            "model",
            {"kind": "sequential", "layers": [{"kind": "linear", "out_features": 10}]},
            "model",
            "model must accept examples of mnist, which are (channels 1, height 28, width "
            "28): layer 0: linear needs (features) or (length, features), got (channels 1, height "
            "28, width 28); insert a flatten layer before it",
        ),
        (
            "model",
            {
                "kind": "sequential",
                "layers": [{"kind": "flatten"}, {"kind": "linear", "out_features": 11}],
            },
            "model",
            "model must fit loss cross_entropy, which needs one feature per class, label or number "
            "of the target, got an output (features 11); mnist has 10 classes",
        ),
        (
            "model",
            {
                "kind": "sequential",
                "layers": [
                    {"kind": "flatten", "name": "a"},
                    {"kind": "linear", "name": "a", "out_features": 10},
                ],
            },
            "model.layers[0].name",
            "name must be used once, got 'a' twice",
        ),
        (
            "model",
            {"kind": "sequential", "layers": [{"kind": "flatten", "name": "forward"}]},
            "model.layers[0].name",
            "name must not be an attribute of torch's modules, got 'forward'",
        ),
        (
            "optimizer",
            {"kind": "adam", "dialect": "paddle", "beta1": 0.99999999},
            "optimizer.beta1",
            "beta1 must stay in its range when paddle rounds it to float32, got 0.99999999, which "
            "becomes 1.0",
        ),
        (
            "optimizer",
            {"kind": "adam", "dialect": "paddle", "lr": 1e308},
            "optimizer.lr",
            "lr must stay in its range when paddle rounds it to float32, got 1e+308, which "
            "becomes inf",
        ),
        (
            "schedule",
            {"kind": "linear", "length": {"epochs": 0.0001}},
            "schedule.length",
            "length must be at least 1 step, got 0.0001 epochs (0.06 steps)",
        ),
        (
            "training.checkpoint_every",
            {"epochs": 0.0001},
            "training.checkpoint_every",
            "checkpoint_every must be at least 1 step, got 0.0001 epochs (0.06 steps)",
        ),
        (
            "training.evaluate_every",
            {"epochs": 0.0001},
            "training.evaluate_every",
            "evaluate_every must be at least 1 step, got 0.0001 epochs (0.06 steps)",
        ),
        ("model", 5, "model", "model must be an object, got 5"),
        ("model", {}, "model.kind", "kind is required"),
        (
            "dataset.batch_size",
            65_000,
            "dataset.batch_size",
            "batch_size must be at most 60000, the number of training examples, got 65000",
        ),
        (
            "dataset.batch_size",
            2.5,
            "dataset.batch_size",
            "batch_size must be a whole number, got 2.5",
        ),
        (
            "training.steps",
            5,
            "training.epochs",
            "exactly one of epochs and steps must be given, got both",
        ),
        ("training.seed", -1, "training.seed", "seed must be at least 0, got -1"),
    ],
)
def test_a_mistake_is_named_with_its_field_rule_and_value(
    path: str, value: object, param: str, message: str
) -> None:
    assert only_problem(with_(path, value)) == (param, message)


def test_every_mistake_is_reported_not_only_the_first() -> None:
    data = with_("optimizer", {"kind": "momentum", "lr": -1.0, "momentum": 2.0})
    data["dataset"]["batch_size"] = 0

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)

    assert [problem.param for problem in caught.value.problems] == [
        "dataset.batch_size",
        "optimizer.lr",
        "optimizer.momentum",
    ]


def test_a_last_batch_of_one_cannot_be_normalised() -> None:
    data = {
        **RUN,
        "model": {
            "kind": "sequential",
            "layers": [
                {"kind": "flatten"},
                {"kind": "batch_norm"},
                {"kind": "linear", "out_features": 10},
            ],
        },
        "dataset": {"kind": "digits", "batch_size": 1499},
    }

    assert only_problem(data) == (
        "dataset.batch_size",
        "batch_size must not leave a last batch of 1 example, which layer 1 (batch_norm) cannot "
        "normalise, got 1499 for 1500 examples",
    )


def test_a_missing_part_is_required() -> None:
    data = copy.deepcopy(RUN)
    del data["model"]

    assert only_problem(data) == ("model", "model is required")


def test_the_resolved_spec_parses_to_itself() -> None:
    for kind in OPTIMIZERS:
        for dialect in OPTIMIZERS[kind].DIALECTS:
            data = with_("optimizer", {"kind": kind, "dialect": dialect, "lr": 0.1})
            spec = RunSpec.parse(data)

            assert RunSpec.parse(spec.model_dump(mode="json")) == spec


def test_what_a_dialect_does_not_have_is_not_shown() -> None:
    shown = Adam.parse({"kind": "adam", "dialect": "article"}).model_dump()

    assert "amsgrad" not in shown
    assert shown["eps"] == 1e-7


def test_steps_follow_from_epochs_and_a_short_last_batch_counts() -> None:
    spec = RunSpec.parse(
        {**RUN, "dataset": {"kind": "digits", "batch_size": 64}, "training": {"epochs": 2.5}}
    )

    assert spec.steps_per_epoch == 24  # 1,500 / 64 = 23.4
    assert spec.total_steps == 60


def test_paddle_keeps_some_numbers_in_float32() -> None:
    parser: TypeAdapter[OptimizerSpec] = TypeAdapter(AnyOptimizer)
    momentum = parser.validate_python({"kind": "momentum", "dialect": "paddle"})
    adam = parser.validate_python({"kind": "adam", "dialect": "paddle"})
    torchs = parser.validate_python({"kind": "momentum"})

    assert momentum.rounded(single_precision=False) == {"momentum", "weight_decay"}
    assert adam.rounded(single_precision=False) == set()
    assert adam.rounded(single_precision=True) >= {"lr", "beta1", "beta2", "eps"}
    assert torchs.rounded(single_precision=True) == set()
    assert float32(0.9) == 0.8999999761581421


def test_torchs_own_names_are_no_names_for_layers() -> None:
    theirs = {name for name in dir(nn.Sequential()) if not name.startswith("_")}

    assert theirs <= RESERVED_NAMES
