"""Every schedule of a run is looked at before it runs: of lr, of groups, of hyperparameters."""

from typing import Any

import numpy as np
import pytest

from optcore.plan.sampling import sampled
from optcore.plan.values import check_values
from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec

LONG = {"kind": "cosine", "warmup": {"length": 50}}
TOO_LONG = "length must be shorter than the run of 5 steps, got 50 steps"
PLATEAU = (
    "kind plateau follows a metric and is allowed only in the top-level field schedule, not in a "
    "group or for another hyperparameter"
)


def run(optimizer: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "model": {"kind": "mnist_cnn"},
        "dataset": {"kind": "mnist", "batch_size": 100},
        "optimizer": {"kind": "momentum", "lr": 0.1, "momentum": 0.9, **optimizer},
        "training": {"steps": 5},
        **others,
    }


def group(**fields: Any) -> dict[str, Any]:
    return {"groups": [{"match": "*.bias", **fields}]}


@pytest.mark.parametrize(
    ("data", "param", "message"),
    [
        (
            run({"schedules": {"momentum": {"kind": "plateau"}}}),
            "optimizer.schedules.momentum.kind",
            PLATEAU,
        ),
        (
            run({"schedules": {"momentum": {"kind": "values", "values": [0.5]}}}),
            "optimizer.schedules.momentum.values",
            "values must have one entry per step of the run: 5, got 1",
        ),
        (
            run(group(schedule=LONG)),
            "optimizer.groups[0].schedule.warmup.length",
            TOO_LONG,
        ),
        (
            run(group(schedule={"kind": "plateau"})),
            "optimizer.groups[0].schedule.kind",
            PLATEAU,
        ),
        (
            run(group(schedules={"momentum": LONG})),
            "optimizer.groups[0].schedules.momentum.warmup.length",
            TOO_LONG,
        ),
        (
            run(group(momentum={**LONG, "value": 0.5})),
            "optimizer.groups[0].momentum.warmup.length",
            TOO_LONG,
        ),
    ],
)
def test_a_schedule_that_does_not_fit_the_run_is_refused(
    data: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)

    (problem,) = caught.value.problems
    assert (problem.param, problem.message) == (param, message)


@pytest.mark.parametrize(
    ("schedule", "param", "message"),
    [
        (
            {"kind": "cosine", "dialect": "torch", "precision": "float32"},
            "schedule.precision",
            "precision float32 in dialect torch needs a run of at most 1000000 steps, got "
            "100000000: it computes each lr from the previous lr; use float64",
        ),
        (
            {"kind": "product", "schedules": [{"kind": "cosine"}] * 11},
            "schedule",
            "schedule must compute at most 1000000000 values, including those of its parts, "
            "got 1100000000 in 100000000 steps",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_schedule_that_takes_too_long_is_refused(
    schedule: dict[str, Any], param: str, message: str
) -> None:
    data = run({}, schedule=schedule, training={"steps": 100_000_000})

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)

    (problem,) = caught.value.problems
    assert (problem.param, problem.message) == (param, message)


def to(value: float) -> dict[str, Any]:
    return {"kind": "values", "values": [0.9, 0.9, 0.9, value, 0.9], "relative": False}


@pytest.mark.parametrize(
    ("data", "param", "message"),
    [
        (
            run({"schedules": {"momentum": to(7.0)}}),
            "optimizer.schedules.momentum",
            "momentum must be at most 1 at every step, got 7.0 at step 3",
        ),
        (
            run(group(schedules={"momentum": to(1.5)})),
            "optimizer.groups[0].schedules.momentum",
            "momentum must be at most 1 at every step, got 1.5 at step 3",
        ),
        (
            run(
                {"schedules": {"weight_decay": {"kind": "one_cycle", "dialect": "paddle",
                 "shape": "linear", "length": 4, "end": 0.0}}, "weight_decay": 0.1}
            ),
            "optimizer.schedules.weight_decay",
            "weight_decay must be at least 0 at every step, got -0.",
        ),
        (
            run({}, schedule={"kind": "scale", "factor": 1e300, "schedule": {
                "kind": "scale", "factor": 1e300, "schedule": {"kind": "constant"}}}),
            "schedule",
            "schedule must give a finite number at every step, got inf at step 0",
        ),
        (
            run(group(schedule={"kind": "cosine", "warmup": {
                "length": 2, "shape": "exponential", "start": 1e-320}})),
            "optimizer.groups[0].schedule",
            "optimizer.groups[0].schedule must give a finite number at every step, got inf at "
            "step 1",
        ),
        (
            run({"momentum": 0.0, "schedules": {"momentum": {"kind": "linear", "dialect": "torch",
                 "precision": "float32", "end": 0.5}}}),
            "kind",
            "kind linear must give finite numbers, got ",
        ),
    ],
)  # fmt: skip
def test_a_schedule_beyond_its_hyperparameters_limits_is_refused(
    data: dict[str, Any], param: str, message: str
) -> None:
    spec = RunSpec.parse(data)

    with pytest.raises(SpecError) as caught:
        check_values(spec)

    (problem,) = caught.value.problems
    assert problem.param == param
    assert problem.message.startswith(message)


def test_schedules_that_fit_are_accepted() -> None:
    optimizer = {
        "schedules": {"weight_decay": {"kind": "linear"}},
        **group(schedule={"kind": "linear"}, momentum={"kind": "linear", "value": 0.5}),
    }
    spec = RunSpec.parse(run({**optimizer, "weight_decay": 0.1}))

    check_values(spec)

    assert RunSpec.parse(spec.model_dump()) == spec


def test_a_long_run_is_sampled_with_both_ends_whole() -> None:
    steps = sampled(100_000_000, 5000)

    assert len(steps) < 7000
    assert steps[:1000].tolist() == list(range(1000))
    assert steps[-1] == 99_999_999
    assert np.diff(steps).max() < 20_100
    assert sampled(4000, 5000).tolist() == list(range(4000))
