"""Clip, loss scale, moving average and the schedule of lr have one place each in a spec."""

from __future__ import annotations

from typing import Any

import pytest

import optcore
from optcore.spec.errors import SpecError
from optcore.spec.optimizers.clip import ClipNorm
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import refused, run

COSINE = {"kind": "cosine"}
LR = "the schedule of lr is not part of the optimizer: write "
THERE = " beside optimizer; without a job, pass it to make_optimizer(schedule=)"
LR_OF_GROUP = "the lr of a group has a field for its schedule: write "


def of_training(**fields: object) -> dict[str, Any]:
    return run(training={"steps": 20, **fields})


def of_optimizer(**fields: object) -> dict[str, Any]:
    return run(optimizer={"kind": "adam", **fields})


def of_group(**fields: object) -> dict[str, Any]:
    return of_optimizer(groups=[{"match": "*.bias", **fields}])


@pytest.mark.parametrize(
    ("data", "param", "message"),
    [
        (
            of_training(clip={"kind": "global_norm", "max": 5.0}),
            "training.clip",
            "clip belongs to the optimizer: write optimizer.clip: "
            '{"kind": "global_norm", "max": 5.0}',
        ),
        (
            of_training(clip=None),
            "training.clip",
            "clip belongs to the optimizer: write optimizer.clip: null",
        ),
        (
            of_training(clip=ClipNorm(kind="norm", max=1.0)),
            "training.clip",
            "clip belongs to the optimizer: write optimizer.clip: ClipNorm(kind='norm', max=1.0)",
        ),
        (
            of_optimizer(loss_scale=1024),
            "optimizer.loss_scale",
            "loss_scale belongs to the training: write training.loss_scale: "
            '{"kind": "fixed", "scale": 1024, "drop_overflow": false}; '
            "without a job, pass it to make_optimizer(loss_scale=)",
        ),
        (
            of_optimizer(loss_scale=1.0),
            "optimizer.loss_scale",
            "loss_scale belongs to the training: write training.loss_scale: null; "
            "without a job, pass it to make_optimizer(loss_scale=)",
        ),
        (
            of_group(loss_scale=8.0),
            "optimizer.groups[0].loss_scale",
            "loss_scale belongs to the training: write training.loss_scale: "
            '{"kind": "fixed", "scale": 8.0, "drop_overflow": false}; '
            "without a job, pass it to make_optimizer(loss_scale=)",
        ),
        (
            of_optimizer(average={"momentum": 0.9, "overwrite_every": 3}),
            "optimizer.average",
            "average belongs to the training: write training.ema: "
            '{"kind": "keras", "decay": 0.9, "overwrite_every": 3}; '
            "without a job, pass it to make_optimizer(ema=)",
        ),
        (
            of_optimizer(average={}),
            "optimizer.average",
            'average belongs to the training: write training.ema: {"kind": "keras"}; '
            "without a job, pass it to make_optimizer(ema=)",
        ),
        (
            of_optimizer(average=None),
            "optimizer.average",
            "average belongs to the training: write training.ema: null; "
            "without a job, pass it to make_optimizer(ema=)",
        ),
        (
            of_group(average={"momentum": 0.5}),
            "optimizer.groups[0].average",
            "average belongs to the training: write training.ema: "
            '{"kind": "keras", "decay": 0.5}; without a job, pass it to make_optimizer(ema=)',
        ),
        (of_optimizer(lr=COSINE), "optimizer.lr", f'{LR}schedule: {{"kind": "cosine"}}{THERE}'),
        (
            of_optimizer(lr={**COSINE, "value": 0.1}),
            "optimizer.lr",
            f'{LR}lr: 0.1 and schedule: {{"kind": "cosine"}}{THERE}',
        ),
        (
            of_optimizer(schedules={"lr": COSINE}),
            "optimizer.schedules.lr",
            f'{LR}schedule: {{"kind": "cosine"}}{THERE}',
        ),
        (
            of_group(lr={**COSINE, "value": 0.1}),
            "optimizer.groups[0].lr",
            f'{LR_OF_GROUP}lr: 0.1 and schedule: {{"kind": "cosine"}}',
        ),
        (
            of_group(schedules={"lr": COSINE}),
            "optimizer.groups[0].schedules.lr",
            f'{LR_OF_GROUP}schedule: {{"kind": "cosine"}}',
        ),
    ],
)
def test_the_former_place_is_refused_with_the_present_one(
    data: dict[str, Any], param: str, message: str
) -> None:
    (problem,) = refused(data).problems

    assert (problem.param, problem.message) == (param, message)


def test_a_long_schedule_is_not_repeated_in_the_message() -> None:
    values = {"kind": "values", "values": [0.1] * 100_000}

    (problem,) = refused(of_optimizer(schedules={"lr": values})).problems

    assert problem.message == f"{LR}schedule: an object{THERE}"


def test_a_clip_is_an_optimizers_or_a_groups() -> None:
    clip: dict[str, Any] = {"kind": "norm", "max": 1.0}

    assert RunSpec.parse(of_optimizer(clip=clip)).groups()[0].spec.clip == ClipNorm(**clip)
    assert RunSpec.parse(of_group(clip=clip)).groups()[0].spec.clip == ClipNorm(**clip)


def test_an_optimizer_without_a_run_is_told_the_same() -> None:
    with pytest.raises(SpecError, match=r"^loss_scale: loss_scale belongs to the training"):
        optcore.make_optimizer([], {"kind": "adam", "loss_scale": 2.0})
