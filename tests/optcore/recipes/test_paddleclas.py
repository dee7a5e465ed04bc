"""PaddleClas's configurations: the same words as PaddleOCR's, with other meanings."""

from collections.abc import Mapping
from typing import Any

import pytest

from optcore.recipes.conversion import Conversion
from optcore.recipes.convert import convert as convert_as
from optcore.recipes.paddle.clas import SOURCE
from optserve.contract.requests.job import JobSpec
from tests.support.optcore.recipes import lrs_of

COSINE = {"name": "Cosine", "learning_rate": 0.1}
STEP = {"name": "Step", "learning_rate": 1, "gamma": 0.9}
MOMENTUM = {"name": "Momentum", "momentum": 0.9, "lr": COSINE}
BASE = {"Global": {"epochs": 9}, "Optimizer": MOMENTUM}


def convert(config: Mapping[str, Any]) -> Conversion:
    return convert_as(config, SOURCE)


def test_a_published_recipe_is_converted_and_validates() -> None:
    config = {
        "Global": {"epochs": 20, "update_freq": 4, "device": "gpu", "pretrained_model": None},
        "AMP": {
            "use_amp": True,
            "level": "O1",
            "scale_loss": 128.0,
            "use_dynamic_loss_scaling": True,
        },
        "EMA": {"decay": 0.9998},
        "Arch": {"name": "SwinTransformer", "class_num": 1000},
        "Optimizer": {
            "name": "AdamW",
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "weight_decay": 0.05,
            "no_weight_decay_name": "norm bias",
            "one_dim_param_no_weight_decay": True,
            "lr": {**COSINE, "eta_min": 1e-5, "warmup_epoch": 5, "warmup_start_lr": 1e-6},
        },
        "DataLoader": {"Train": {"sampler": {"batch_size": 128}}},
    }

    converted = convert(config)

    assert converted.problems == []
    assert converted.job["training"] == {
        "epochs": 20,
        "precision": "fp16",
        "loss_scale": {"kind": "dynamic", "start": 128.0},
        "ema": {"decay": 0.9998},
        "accumulate": 4,
    }
    assert converted.job["schedule"] == {
        "kind": "cosine",
        "dialect": "paddleocr",
        "length": {"epochs": 15},
        "end": 1e-5,
        "warmup": {"length": {"epochs": 5}, "start": 1e-6, "end": 0.1, "after": "delay"},
    }
    assert any("DataLoader.Train.sampler.batch_size" in note for note in converted.notes)
    job = {"model": {"kind": "mlp", "hidden": [4]}, "dataset": {"kind": "digits"}}
    JobSpec.parse({**converted.job, **job})


@pytest.mark.parametrize(
    ("amp", "training"),
    [
        ({"use_amp": False, "level": "O2"}, {"precision": "fp32"}),
        # On where the block has no use_amp, and with a scale that stays.
        (
            {"scale_loss": 64.0},
            {"precision": "fp16", "loss_scale": {"kind": "fixed", "scale": 64.0}},
        ),
        ({}, {}),
    ],
)
def test_mixed_precision_is_on_unless_the_block_says_no(
    amp: dict[str, Any], training: dict[str, Any]
) -> None:
    converted = convert({**BASE, "AMP": amp})

    assert converted.problems == []
    assert converted.job["training"] == {"epochs": 9, **training}


def test_parameters_of_16_bits_beside_float32_normalization_are_refused() -> None:
    problems = convert({**BASE, "AMP": {"use_amp": True, "level": "O2"}}).problems

    assert problems[0].startswith("AMP.level must be O1: O2 keeps parameters in 16 bits")


@pytest.mark.parametrize(
    ("block", "decay"),
    [
        ({"regularizer": {"name": "L2", "coeff": 1e-4}}, {"weight_decay": 1e-4}),
        ({"regularizer": {"name": "L1", "coeff": 1e-4}}, {"l1": 1e-4}),
        ({"regularizer": None, "weight_decay": 0.1}, {"weight_decay": 0.1}),
        ({"regularizer": {"name": "L2"}, "weight_decay": 0.1}, {"weight_decay": 0.0}),
    ],
)
def test_decay_is_coeff_and_a_regularizer_wins(block: Any, decay: dict[str, float]) -> None:
    converted = convert({**BASE, "Optimizer": {**MOMENTUM, **block}})

    assert converted.problems == []
    found = converted.job["optimizer"]
    assert {key: found[key] for key in ("weight_decay", "l1") if key in found} == decay


@pytest.mark.parametrize(
    ("optimizer", "problem"),
    [
        ([{"Momentum": {"scope": "all"}}], "Optimizer must be one optimizer"),
        ({"name": "AdamWDL"}, "Optimizer.name cannot be converted: it gives layers an lr"),
        ({"name": "AdamW", "lr": COSINE}, "Optimizer.weight_decay is required for AdamW"),
        (
            {**MOMENTUM, "centered": True},
            "Optimizer.centered raises TypeError in PaddleClas: Momentum takes momentum, use_nes",
        ),
        (
            {**MOMENTUM, "lr": {**COSINE, "warmup_epoch": 0.5}},
            "Optimizer.lr.warmup_epoch must be a whole number for Cosine: Paddle raises TypeError",
        ),
        (
            {**MOMENTUM, "lr": {**COSINE, "warmup_epoch": 9}},
            "Optimizer.lr.warmup_epoch must be less than Global.epochs (9), got 9",
        ),
        (
            {
                **MOMENTUM,
                "lr": {**STEP, "step_size": 2.4, "by_epoch": True},
            },
            "Optimizer.lr.step_size must be a whole number with by_epoch: Paddle raises TypeError",
        ),
        (
            {**MOMENTUM, "lr": {"name": "ReduceOnPlateau", "learning_rate": 1}},
            "Optimizer.lr.name cannot be converted: it follows evaluations",
        ),
        (
            {**MOMENTUM, "lr": {"name": "OneCycleLR", "max_learning_rate": 1, "by_epoch": True}},
            "Optimizer.lr.by_epoch must be false for OneCycleLR",
        ),
    ],
)
def test_what_cannot_be_converted_is_said(optimizer: Any, problem: str) -> None:
    problems = convert({**BASE, "Optimizer": optimizer}).problems

    assert any(each.startswith(problem) for each in problems)


def test_momentum_that_looks_ahead_is_nesterov() -> None:
    converted = convert({**BASE, "Optimizer": {**MOMENTUM, "use_nesterov": True}})

    assert converted.job["optimizer"]["kind"] == "nesterov"


def test_a_learning_rate_without_a_class_is_constant() -> None:
    optimizer = {"name": "SGD", "lr": {"learning_rate": 0.1, "warmup_epoch": 2}}

    converted = convert({**BASE, "Optimizer": optimizer})

    assert converted.problems == []
    assert converted.job["schedule"] == {"kind": "constant"}
    assert converted.notes[0].startswith(
        "Optimizer.lr.warmup_epoch: PaddleClas takes learning_rate"
    )


def lrs(lr: Mapping[str, Any], steps: int, steps_per_epoch: int) -> list[float]:
    converted = convert({**BASE, "Optimizer": {**MOMENTUM, "lr": lr}})
    assert converted.problems == []
    found: list[float] = lrs_of(converted, steps, steps_per_epoch=steps_per_epoch).tolist()
    return found


def test_a_step_of_part_of_an_epoch_is_rounded_down_to_whole_steps() -> None:
    # PaddleClas: int(2.4 * 7) is 16.
    found = lrs({**STEP, "step_size": 2.4}, 36, 7)

    assert found == [1.0] * 16 + [0.9] * 16 + [0.9**2] * 4


def test_last_epoch_begins_the_schedule_later() -> None:
    values = {"name": "Piecewise", "decay_epochs": [3, 5], "values": [1.0, 0.1, 0.01]}

    by_epoch = lrs({**values, "by_epoch": True, "last_epoch": 0}, 12, 2)
    by_step = lrs({**values, "last_epoch": 1}, 12, 2)

    # Paddle steps a scheduler once when it makes it, to last_epoch + 1.
    assert by_epoch == [1.0] * 4 + [0.1] * 4 + [0.01] * 4
    assert by_step == [1.0] * 4 + [0.1] * 4 + [0.01] * 4


@pytest.mark.parametrize("lr", [{**COSINE}, {**STEP, "step_size": 2, "warmup_epoch": 1}])
def test_last_epoch_is_refused_where_lr_follows_from_the_lr_before(lr: Mapping[str, Any]) -> None:
    problems = convert({**BASE, "Optimizer": {**MOMENTUM, "lr": {**lr, "last_epoch": 0}}}).problems

    assert problems == ["Optimizer.lr.last_epoch must be -1: a job begins at its first step, got 0"]
