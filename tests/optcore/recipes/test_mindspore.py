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
MINDOCR: dict[str, Any] = {
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
    assert result.job["training"] == {
        "epochs": 6.0,
        "precision": "mindspore_o2",
        "loss_scale": scale,
    }
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
    assert result.job["optimizer"]["groups"] == []


NORMS = [{"match": {"module": ["batch_norm"]}, "weight_decay": 0.0}]


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        ({}, []),
        ({"filter_bias_and_bn": True}, []),
        ({"filter_bias_and_bn": False}, NORMS),
        ({"grouping_strategy": "filter_norm_and_bias"}, []),
        ({"grouping_strategy": "svtr", "filter_bias_and_bn": False}, []),
        ({"grouping_strategy": "visionlan", "training_step": "LA"}, []),
        ({"no_weight_decay_params": ["embed", "bias"]}, []),
    ],
)
def test_norms_and_biases_decay_in_mindocr_where_it_makes_groups(
    given: dict[str, Any], groups: list[Any]
) -> None:
    """As seen in mindocr 0.4 on MindSpore 2.10: one update without gradients moves them too."""
    config = MINDOCR | {"optimizer": MINDOCR["optimizer"] | given}

    result = converted("mindocr", config)

    assert result.job["optimizer"]["groups"] == groups
    told = any("norms and biases decay too" in note for note in result.notes)
    assert told == (groups == [] and bool(given) and "training_step" not in given)


@pytest.mark.parametrize(("name", "kind"), [("adamw", "adamw"), ("lion", "lion")])
@pytest.mark.parametrize("source", ["mindcv", "mindocr"])
def test_adamw_and_lion_are_their_own_classes(source: str, name: str, kind: str) -> None:
    config = MINDCV | {"opt": name, "clip_grad": True, "clip_value": 5.0}
    if source == "mindocr":
        train = MINDOCR["train"] | {"clip_grad": True, "clip_norm": 5.0}
        config = MINDOCR | {"optimizer": {"opt": name, "weight_decay": 1e-4}, "train": train}

    optimizer = converted(source, config).job["optimizer"]

    found = {field: optimizer[field] for field in ("kind", "dialect", "weight_decay", "clip")}
    clip = {"kind": "global_norm", "max": 5.0}
    assert found == {"kind": kind, "dialect": "mindspore", "weight_decay": 1e-4, "clip": clip}


@pytest.mark.parametrize(
    ("given", "precision", "scale"),
    [
        ({"loss_scale_type": "auto"}, "mindspore_o2", {"kind": "dynamic", "start": 2.0**24}),
        ({"loss_scale_type": "auto", "amp_level": "O3"}, "mindspore_o3", None),
        ({"loss_scale_type": "auto", "amp_level": "O1"}, "mindspore_o1", None),
        (
            {"loss_scale_type": "dynamic", "drop_overflow_update": True, "loss_scale": 1.0},
            "mindspore_o2",
            {"kind": "dynamic", "start": 1.0, "growth": 2.0, "backoff": 0.5, "window": 2000},
        ),
        (
            {"loss_scale": 1.0},  # without a loss_scale O2 would have MindSpore's dynamic one
            "mindspore_o2",
            {"kind": "fixed", "scale": 1.0, "drop_overflow": False},
        ),
        ({"amp_level": "O3"}, "mindspore_o3", {"kind": "fixed", "scale": 1024.0}),
    ],
)
def test_levels_and_their_loss_scale_are_those_of_mindspore(
    given: dict[str, Any], precision: str, scale: dict[str, Any] | None
) -> None:
    training = converted("mindcv", MINDCV | given).job["training"]

    assert training["precision"] == precision
    found = training["loss_scale"]
    assert found == (scale if scale is None else found | scale)


def test_a_loss_in_float16_is_refused_where_it_is_not_ctcs() -> None:
    config = MINDOCR | {
        "system": {"amp_level": "O3", "drop_overflow_update": True},
        "train": MINDOCR["train"] | {"pred_cast_fp32": False},
        "loss": {"name": "CTCLoss"},
    }

    result = converted("mindocr", config)

    assert result.job["training"]["precision"] == "mindspore_o3"
    assert any("CTCLoss computes in float32" in note for note in result.notes)
    problems = problems_of("mindocr", config | {"loss": {"name": "SARLoss"}})
    assert problems == [
        "train.pred_cast_fp32 must be true: a job computes the loss in float32, got false"
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"amp_level": "O4"}, "amp_level must be O0, O1, O2 or O3, got 'O4'"),
        ({"amp_cast_list": "[nn.Dense]"}, "amp_cast_list chooses the layers that compute"),
        ({"loss_scale_type": "dynamic"}, "drop_overflow_update must be true"),
        ({"opt": "lamb"}, "opt has no exactly equivalent optimizer"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps changes lr"),
        ({"layer_decay": 0.75}, "layer_decay gives lr by depth"),
        ({"scheduler": "cosine"}, "scheduler must be one of constant, cosine_decay"),
        ({"learning_rate": 1}, "learning_rate is not known in mindcv"),
    ],
)
def test_what_cannot_be_converted_is_said(given: dict[str, Any], problem: str) -> None:
    assert any(each.startswith(problem) for each in problems_of("mindcv", MINDCV | given))
