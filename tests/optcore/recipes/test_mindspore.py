"""Recipes of mindcv and mindocr; lr is the list that mindcv's create_scheduler returns."""

from typing import Any

import numpy as np
import pytest

from tests.support.optcore.recipes import converted, fate_of, lrs_of, problems_of

MINDCV = {
    "model": "resnet18",
    "epoch_size": 6,
    "scheduler": "cosine_decay",
    "lr": 0.1,
    "min_lr": "1e-3",
    "warmup_epochs": 2,
    "warmup_factor": 0.1,
    "decay_epochs": 3,
    "opt": "momentum",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "loss_scale": 1024,
    "amp_level": "O2",
    "batch_size": 32,
}
MINDOCR = {
    "system": {"amp_level": "O0", "drop_overflow_update": True, "seed": 42},
    "scheduler": {
        "scheduler": "polynomial_decay",
        "lr": 0.007,
        "num_epochs": 4,
        "decay_rate": 0.9,
        "warmup_epochs": 1,
    },
    "optimizer": {"opt": "SGD", "momentum": 0.9, "weight_decay": 1e-4},
    "loss_scaler": {"type": "dynamic", "loss_scale": 512, "scale_factor": 2, "scale_window": 1000},
    "train": {"ema": False, "dataset": {"type": "x"}, "loader": {"batch_size": 8}},
    "model": {"type": "det"},
}


def test_a_configuration_of_mindcv_becomes_a_job() -> None:
    result = converted("mindcv", MINDCV)

    assert result.job["optimizer"] == {
        "kind": "momentum",
        "dialect": "mindspore",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
    }
    scale = {"kind": "fixed", "scale": 1024.0, "drop_overflow": False}
    assert result.job["training"] == {"epochs": 6.0, "precision": "fp16", "loss_scale": scale}
    assert fate_of(result, "batch_size") == "other"


COSINE = [
    0.010000000000000002, 0.025, 0.04, 0.055, 0.07, 0.08499999999999999, 0.1, 0.09701478472890247,
    0.08841919993438942, 0.07525000000000001, 0.059095584794513066, 0.041904415205486954,
    0.025750000000000012, 0.012580800065610579, 0.003985215271097539, 0.001, 0.001, 0.001,
]  # fmt: skip
STAIR = {
    "epoch_size": 4,
    "min_lr": 0.0,
    "warmup_epochs": 1,
    "warmup_factor": 0.01,
    "lr_epoch_stair": True,
}
CYCLES = {
    "warmup_epochs": 1,
    "warmup_factor": 0.0,
    "decay_epochs": 2,
    "num_cycles": 2,
}
MILESTONES = {
    "epoch_size": 5,
    "scheduler": "multi_step_decay",
    "decay_rate": 0.5,
    "warmup_epochs": 1,
    "warmup_factor": 0.0,
    "multi_step_decay_milestones": [1, 3],
}


@pytest.mark.parametrize(
    ("given", "steps_per_epoch", "wanted"),
    [
        ({}, 3, COSINE),
        (STAIR, 2, [0.001, 0.001, 0.1, 0.1, 0.075, 0.075, 0.025, 0.025]),
        (MILESTONES, 2, [0.0, 0.05, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]),
        (
            CYCLES,
            2,
            [0.0, 0.05, 0.1, 0.0855017856687341, 0.0505, 0.0154982143312659, 0.1,
             0.0855017856687341, 0.0505, 0.0154982143312659, 0.001, 0.001],
        ),
    ],
    ids=["cosine", "stair", "milestones", "cycles"],
)  # fmt: skip
def test_lr_is_that_of_mindcv(
    given: dict[str, Any], steps_per_epoch: int, wanted: list[float]
) -> None:
    result = converted("mindcv", MINDCV | given)

    found = lrs_of(result, len(wanted), steps_per_epoch=steps_per_epoch)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-16)


def test_the_average_has_the_decay_of_mindcv() -> None:
    result = converted("mindcv", MINDCV | {"ema": True, "ema_decay": 0.9995})

    average = {"kind": "shadow", "decay": 0.9995, "ramp": 2000.0}
    assert result.job["training"]["ema"] == average


def test_lr_is_that_of_mindocr() -> None:
    wanted = [0.0, 0.0035, 0.007, 0.005940663027524308, 0.00485977213863125,
              0.003751207118877026, 0.0026042874060791107, 0.0013956030653265344]  # fmt: skip

    result = converted("mindocr", MINDOCR)

    found = lrs_of(result, len(wanted), steps_per_epoch=2)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-16)
    # The default of filter_bias_and_bn is true.
    group = {"preset": "no_decay_norm_bias", "weight_decay": 0.0}
    assert result.job["optimizer"]["groups"] == [group]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"amp_level": "O3"}, "amp_level computes normalization in float16 too"),
        ({"loss_scale_type": "dynamic"}, "drop_overflow_update must be true"),
        ({"opt": "lamb"}, "opt has no exactly equivalent optimizer"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps changes lr"),
        ({"layer_decay": 0.75}, "layer_decay gives lr by depth"),
        ({"scheduler": "cosine"}, "scheduler must be one of constant, cosine_decay"),
        ({"opt": "adamw", "clip_grad": True}, "clip_grad"),
        ({"learning_rate": 1}, "learning_rate is not known in mindcv"),
    ],
)
def test_what_cannot_be_converted_is_said(given: dict[str, Any], problem: str) -> None:
    assert any(each.startswith(problem) for each in problems_of("mindcv", MINDCV | given))
