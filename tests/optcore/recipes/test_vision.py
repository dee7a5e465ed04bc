"""Recipes of timm and torchvision; lr is that of timm 1.0.31, and of torch 2.13's schedulers."""

from typing import Any

import numpy as np
import pytest

from optcore.recipes.convert import convert_file
from optcore.recipes.detection import UnclearFile
from optcore.recipes.vision.command_line import parse_command
from tests.support.optcore.recipes import converted, lrs_of, problems_of

TIMM = {
    "model": "some_model",
    "sched": "step",
    "epochs": 16,
    "decay_epochs": 2.4,
    "decay_rate": 0.97,
    "warmup_lr": 1e-6,
    "warmup_epochs": 3,
    "lr": 0.048,
    "opt": "rmsproptf",
    "opt_eps": 0.001,
    "weight_decay": 1e-5,
    "model_ema": True,
    "model_ema_decay": 0.9999,
    "amp": True,
}
TORCHVISION = {"model": "resnet18", "lr": 0.5, "epochs": 8, "lr_scheduler": "cosineannealinglr"}
WARMUP = {
    "lr_min": 1e-5,
    "lr_warmup_epochs": 3,
    "lr_warmup_method": "linear",
    "lr_warmup_decay": 0.01,
}

STEP = [
    1e-06, 0.016000666666666667, 0.03200033333333333, 0.04656, 0.04656, 0.0451632, 0.0451632,
    0.0451632, 0.043808304, 0.043808304, 0.04249405488, 0.04249405488, 0.041219233233599994,
    0.041219233233599994, 0.041219233233599994, 0.039982656236591994,
]  # fmt: skip
COSINE = [
    1e-05, 0.20000500000000002, 0.34156780284671623, 0.2768453447568354, 0.2005,
    0.1241546552431646, 0.05943219715328379, 0.016186033263998298, 0.001, 0.001,
]  # fmt: skip
# One epoch before each milestone, as in timm.
MILESTONES = [0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001]
PREFIX = [1e-05, 0.050005, 0.1, 0.08, 0.06, 0.04, 0.02]
CASES: list[tuple[dict[str, Any], list[float]]] = [
    ({}, STEP),
    (
        {"sched": "cosine", "epochs": 8, "lr": 0.4, "warmup_epochs": 2, "warmup_lr": 1e-5,
         "cooldown_epochs": 2, "min_lr": 0.001},
        COSINE,
    ),
    (
        {"sched": "multistep", "epochs": 8, "lr": 0.1, "decay_milestones": [3, 6],
         "decay_rate": 0.1, "warmup_epochs": 0},
        MILESTONES,
    ),
    (
        {"sched": "poly", "epochs": 5, "lr": 0.1, "decay_rate": 1.0, "warmup_epochs": 2,
         "warmup_lr": 1e-5, "warmup_prefix": True},
        PREFIX,
    ),
]  # fmt: skip
UPDATES = [
    1e-05, 0.03334000000000001, 0.06667000000000001, 0.07500000000000001, 0.058682408883346526,
    0.041317591116653486, 0.025000000000000012, 0.011697777844051106, 0.0030153689607045845,
]  # fmt: skip
WARMED = [
    0.005, 0.17, 0.335, 0.5, 0.45225520350876497, 0.327257703508765, 0.17275229649123502,
    0.047754796491235034,
]  # fmt: skip
STAIRS = [0.064, 0.064, 0.062272, 0.062272, 0.060590656, 0.060590656]


def test_timms_arguments_become_a_job() -> None:
    result = converted("timm", TIMM)

    assert result.job["optimizer"] == {
        "kind": "rmsprop_tf",
        "dialect": "timm",
        "lr": 0.048,
        "rho": 0.9,
        "momentum": 0.9,
        "eps": 0.001,
        "weight_decay": 1e-5,
        "groups": [{"preset": "no_decay_norm_bias", "weight_decay": 0.0}],
    }
    assert result.job["training"] == {
        "epochs": 16.0,
        "precision": "fp16",
        "ema": {"kind": "shadow", "decay": 0.9999, "begin": 1},
        "accumulate": 1,
    }


@pytest.mark.parametrize(
    ("given", "wanted"),
    CASES,
    ids=["step", "cosine", "milestones", "prefix"],
)
def test_lr_is_that_of_timm(given: dict[str, Any], wanted: list[float]) -> None:
    result = converted("timm", TIMM | given)

    assert result.job["training"]["epochs"] == len(wanted)
    np.testing.assert_allclose(lrs_of(result, len(wanted)), wanted, rtol=1e-12, atol=1e-18)
    found = lrs_of(result, 3 * len(wanted), steps_per_epoch=3)
    np.testing.assert_allclose(found, np.repeat(wanted, 3), rtol=1e-12, atol=1e-18)


def test_lr_moves_at_every_update_where_timms_does() -> None:
    given = {"sched": "cosine", "epochs": 3, "warmup_epochs": 1, "warmup_lr": 1e-5, "lr": 0.1}

    result = converted("timm", TIMM | given | {"sched_on_updates": True})

    found = lrs_of(result, 9, steps_per_epoch=3)
    np.testing.assert_allclose(found, UPDATES, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(WARMUP, WARMED), ({"lr_scheduler": "steplr", "lr": 0.064, "lr_step_size": 2,
                         "lr_gamma": 0.973, "epochs": 6}, STAIRS)],
)  # fmt: skip
def test_lr_is_that_of_torchvisions_script(given: dict[str, Any], wanted: list[float]) -> None:
    result = converted("torchvision", TORCHVISION | given)

    found = lrs_of(result, 2 * len(wanted), steps_per_epoch=2)
    np.testing.assert_allclose(found, np.repeat(wanted, 2), rtol=1e-12, atol=1e-18)


def test_a_command_line_is_read(tmp_path: Any) -> None:
    path = tmp_path / "train.sh"
    path.write_text(
        "LR=0.1\nNAME=x\n./distributed_train.sh 8 /data --model $NAME -b 64 \\ \n"
        "  --sched cosine --lr=$LR --opt-betas 0.9 0.95 --opt adamw --amp --clip-grad 1\n"
    )

    result = convert_file(path)

    assert result.source == "timm"
    assert result.problems == []
    optimizer = result.job["optimizer"]
    assert (optimizer["lr"], optimizer["beta2"]) == (0.1, 0.95)
    assert optimizer["clip"] == {"kind": "global_norm", "max": 1.0}


RESNET50 = (
    "train.py --model resnet50 --batch-size 128 --lr 0.5 --lr-scheduler cosineannealinglr "
    "--lr-warmup-epochs 5 --lr-warmup-method linear --epochs 600 --weight-decay 0.00002 "
    "--norm-weight-decay 0.0 --model-ema\n"
)


@pytest.mark.parametrize(
    ("launcher", "devices"),
    [
        ("torchrun --nproc_per_node=8", 8),
        ("torchrun --nnodes 2 --nproc-per-node 4", 8),
        ("python -m torch.distributed.launch --nproc_per_node=2 --use_env", 2),
        ("python3", 1),
    ],
)
def test_the_average_of_torchvision_depends_on_the_devices(
    launcher: str, devices: int, tmp_path: Any
) -> None:
    path = tmp_path / "train.sh"
    path.write_text(f"{launcher} {RESNET50}")

    result = convert_file(path, "torchvision")

    assert result.problems == []
    # alpha of train.py.
    alpha = min(1.0, (1.0 - 0.99998) * (devices * 128 * 32 / 600))
    assert result.job["training"]["ema"] == {
        "kind": "shadow",
        "every": 32,
        "decay": 1.0 - alpha,
        "every_from": "epoch",
        "copy_first": True,
        "begin": {"epochs": 5.0},
    }


def test_an_average_of_torchvision_without_a_warmup_begins_at_once() -> None:
    ema = {"model_ema": True, "model_ema_decay": 0.5, "model_ema_steps": 4, "world_size": 30}

    result = converted("torchvision", TORCHVISION | ema)

    assert result.job["training"]["ema"] == {
        "kind": "shadow",
        "every": 4,
        "decay": 0.0,
        "every_from": "epoch",
        "copy_first": True,
    }


def test_the_decay_of_timms_average_may_rise() -> None:
    result = converted("timm", TIMM | {"model_ema_warmup": True})

    average = {"kind": "shadow", "decay": 0.9999, "begin": 1, "power": 2 / 3}
    assert result.job["training"]["ema"] == average


def test_options_that_two_scripts_have_do_not_tell_which_it_is(tmp_path: Any) -> None:
    path = tmp_path / "train.sh"
    path.write_text("torchrun train.py --model resnet50 --lr 0.1\n")

    with pytest.raises(UnclearFile, match="may be timm or torchvision: choose one with --from"):
        convert_file(path)
    assert convert_file(path, "torchvision").job["optimizer"]["kind"] == "momentum"


def test_a_text_without_a_training_script_is_no_command() -> None:
    assert parse_command("echo --lr 1", aliases={}, flags=(), lists=()) is None


@pytest.mark.parametrize(
    ("source", "config", "problem"),
    [
        ("timm", {"model": "x", "sched": "cosine"}, "lr must be given"),
        ("timm", TIMM | {"lr_noise": [0.4, 0.9]}, "lr_noise is noise of torch's generator"),
        ("timm", TIMM | {"opt": "adahessian"}, "opt has no exactly equivalent optimizer"),
        ("timm", TIMM | {"layer_decay": 0.75}, "layer_decay has groups by the layers"),
        ("timm", TIMM | {"sched": "plateau"}, "sched has no exactly equivalent schedule"),
        ("timm", TIMM | {"opt": "lamb", "clip_grad": 1.0}, "clip_grad comes before the clip"),
        ("timm", TIMM | {"scheduler": "cosine"}, "scheduler is not known in timm"),
        ("torchvision", TORCHVISION | {"model_ema": True}, "model_ema has a decay that depends"),
        (
            "torchvision",
            TORCHVISION | {"model_ema": True, "world_size": 1, "model_ema_decay": 1.0},
            "model_ema_decay must be below 1",
        ),
        ("torchvision", TORCHVISION | {"opt": "lamb"}, "opt must be sgd, sgd_nesterov, rmsprop"),
        ("torchvision", TORCHVISION | {"test_only": True}, "test_only trains nothing"),
    ],
)
def test_what_cannot_be_converted_is_said(
    source: str, config: dict[str, Any], problem: str
) -> None:
    assert any(each.startswith(problem) for each in problems_of(source, config))
