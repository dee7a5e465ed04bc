"""Numbers that the precision of a run cannot hold."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.plan.values import check_values
from optcore.spec.errors import SpecError
from optcore.spec.limits import MAX_FLOAT32
from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.reports import Diverged
from tests.support.optcore.runs.run_specs import refused, run
from tests.support.optcore.runs.small import spec_of, start


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"kind": "sgd", "lr": 1e308}}, "lr must be at most 3.40282e+38, the la"),
        ({"optimizer": {"kind": "adam", "eps": 1e39}}, "eps must be at most 3.40282e+38, the l"),
        (
            {"optimizer": {"kind": "sgd", "lr": 1e30, "groups": [{"match": "*", "lr_scale": 1e9}]}},
            "lr * lr_scale must be at most 3.40282e+38, the largest number in its precision, got "
            "1e+30 * 1000000000.0 = 1",
        ),
        (
            {"optimizer": {"kind": "adam", "clip": {"kind": "norm", "max": 1e300}}},
            "clip must be at most 3.40282e+38",
        ),
        (
            {"optimizer": {"kind": "sgd", "lr": 1e6}, "training": {"precision": "fp16_true"}},
            "lr must be at most 65504, the largest number in its precision, got 1000000.0",
        ),
        (
            {
                "optimizer": {"kind": "adagrad", "initial_accumulator_value": 3.4e38},
                "training": {"precision": "bf16_true"},
            },
            "initial_accumulator_value must be at most 3.38953e+38, the largest number",
        ),
    ],
)
def test_a_number_that_the_parameters_cannot_hold_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    training = {"steps": 20, **changes.get("training", {})}

    (problem,) = refused(run(**{**changes, "training": training})).problems

    assert problem.message.startswith(message)


def test_the_same_number_is_accepted_in_float64() -> None:
    spec = run(optimizer={"kind": "sgd", "lr": 1e308}, training={"steps": 2, "precision": "fp64"})

    assert RunSpec.parse(spec).optimizer.hyperparameters()["lr"] == 1e308


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        ({"kind": "sgd", "lr": 1e30}, {"kind": "constant", "factor": 1e30}),
        ({"kind": "sgd", "lr": 1e30}, {"kind": "exponential", "rate": 1e3}),
        (
            {"kind": "sgd", "lr": 1e30, "groups": [{"match": "fc1*", "lr_scale": 1e7}]},
            {"kind": "scale", "factor": 1e3, "schedule": {"kind": "cosine"}},
        ),
    ],
)
def test_an_lr_that_its_schedule_makes_too_large_is_refused(
    optimizer: dict[str, Any], schedule: dict[str, Any]
) -> None:
    spec = RunSpec.parse(run(optimizer=optimizer, schedule=schedule))

    with pytest.raises(SpecError, match=r"schedule: lr must be at most 3\.40282.*at every step"):
        check_values(spec)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"kind": "sgd", "lr": 3e38, "weight_decay": 3e38},
        {"kind": "adamw", "lr": 1e30, "weight_decay": 1e30},
        {"kind": "adamax", "lr": MAX_FLOAT32},
        {"kind": "asgd", "alpha": 1e20},
        {"kind": "adafactor", "eps1": 1e38},
    ],
    ids=lambda value: str(value["kind"]),
)
def test_numbers_whose_product_overflows_are_a_divergence(optimizer: dict[str, Any]) -> None:
    with pytest.raises(Diverged):
        list(train(start(optimizer=optimizer, schedule={"kind": "constant"}, steps=3)))


def test_a_clip_whose_factor_is_0_is_a_divergence() -> None:
    """Its norm is above 2 here, so that the factor is 0."""
    block = [{"kind": "batch_norm"}, {"kind": "linear", "out_features": 64}]
    ends = [{"kind": "batch_norm"}, {"kind": "linear", "out_features": 10}]
    model = {"kind": "sequential", "layers": [{"kind": "flatten"}, *block, *block, *ends]}
    optimizer = {"kind": "adam", "clip": {"kind": "global_norm", "max": 5e-324}}

    with pytest.raises(Diverged, match="division by zero"):
        list(train(start(model=model, optimizer=optimizer, schedule={"kind": "constant"}, steps=3)))


@pytest.mark.parametrize("kind", ["momentum", "nesterov"])
def test_a_momentum_that_float32_rounds_to_0_is_0(kind: str) -> None:
    """Torch's kernel refuses a velocity where there is no momentum."""
    optimizer = {"kind": kind, "dialect": "paddle", "lr": 0.1, "momentum": 5e-324}

    run = start(optimizer=optimizer, schedule={"kind": "constant"}, steps=3)

    assert len(list(train(run))) > 3
    assert spec_of(optimizer=optimizer).optimizer.has_kernel() is False
