"""PaddleOCR's optimizer blocks become a job's optimizer and schedule, or a list of reasons."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from optcore.recipes.conversion import Conversion
from optcore.recipes.convert import convert as convert_as
from optcore.recipes.paddle.ocr import SOURCE
from optcore.schedules.make import make_schedule
from optserve.contract.requests.job import JobSpec
from tests.support.optcore.goldens import family

LR = {"learning_rate": 0.001}


def convert(config: Mapping[str, Any]) -> Conversion:
    return convert_as(config, SOURCE)


CLS = {
    "Global": {"epoch_num": 100},
    "Optimizer": {
        "name": "Adam",
        "beta1": 0.9,
        "beta2": 0.999,
        "lr": {"name": "Cosine", "learning_rate": 0.001},
        "regularizer": {"name": "L2", "factor": 0},
    },
}


def test_the_direction_classifiers_recipe_is_converted() -> None:
    converted = convert(CLS)

    assert converted.problems == []
    assert converted.job == {
        "optimizer": {
            "kind": "adam",
            "dialect": "paddleocr",
            "weight_decay": 0.0,
            "beta1": 0.9,
            "beta2": 0.999,
            "lr": 0.001,
        },
        "schedule": {"kind": "cosine", "length": {"epochs": 100.0}, "dialect": "paddleocr"},
        "training": {"epochs": 100},
    }


def test_clip_decay_names_and_warmup_are_converted() -> None:
    block = {
        "name": "AdamW",
        "clip_norm": 10,
        "epsilon": 1e-8,
        "no_weight_decay_name": "norm bias",
        "one_dim_param_no_weight_decay": True,
        "lr": {
            "name": "Piecewise",
            "decay_epochs": [2, 4],
            "values": [0.01, 0.001, 0.0001],
            "warmup_epoch": 1,
        },
        "regularizer": {"name": "L2", "factor": 0.05},
    }

    converted = convert({"Optimizer": block})

    assert converted.problems == []
    assert converted.job["optimizer"]["clip"] == {"kind": "norm", "max": 10.0}
    assert converted.job["optimizer"]["no_weight_decay_name"] == "norm bias"
    assert converted.job["schedule"]["warmup"] == {
        "length": {"epochs": 1.0},
        "start": 0.0,
        "end": 0.01,
        "after": "delay",
    }


def test_newer_files_give_adamw_its_decay_and_the_first_of_two_clips_wins() -> None:
    block = {
        "name": "AdamW",
        "weight_decay": 0.05,
        "clip_norm": 1,
        "clip_norm_global": 10,
        "lr": {"learning_rate": 0.001},
    }

    converted = convert({"Optimizer": block})

    assert converted.problems == []
    assert converted.job["optimizer"]["weight_decay"] == 0.05
    assert converted.job["optimizer"]["clip"] == {"kind": "norm", "max": 1.0}


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"name": "Adan", "lr": LR}, "Optimizer.name must be one of Momentum, Adam, AdamW, RMSP"),
        ({"name": "Adam", "lr": {"name": "Nope"}}, "Optimizer.lr.name must be one of Const, Cos"),
        ({"name": "Adam", "lr": {"name": "Cosine", **LR}}, "Global.epoch_num is required for Co"),
        ({"name": "Adam", "lr": {"name": "Const"}}, "Optimizer.lr.learning_rate is required for"),
        ({"name": "Adam"}, "Optimizer.lr is required"),
        ({"name": "Momentum", "lr": LR}, "Optimizer.momentum is required for Momentum"),
        (
            {"name": "Adam", "lr": LR, "regularizer": {"name": "L3"}},
            "Optimizer.regularizer.name must be L1 or L2, got 'L3'",
        ),
        (
            {"name": "Adam", "lr": LR, "regularizer": {"name": "L2", "coeff": 1e-4}},
            "Optimizer.regularizer.coeff raises TypeError in PaddleOCR: L2Decay takes factor",
        ),
        (
            {"name": "AdamW", "lr": LR, "regularizer": {"name": "L1", "factor": 1e-4}},
            "Optimizer.regularizer.name must be L2 for AdamW",
        ),
        (
            {"name": "Adam", "lr": LR, "regularizer": 1e-5},
            "Optimizer.regularizer must be a mapping, got 1e-05",
        ),
        ({"name": "Adam", "lr": 0.001}, "Optimizer.lr must be a mapping, got 0.001"),
        (
            {"name": "Adam", "lr": LR, "clip_norm": "big"},
            "Optimizer.clip_norm must be a number, got 'big'",
        ),
        ({"name": "Adam", "lr": LR, "beta1": [0.9]}, "Optimizer.beta1 must be a number, got [0.9]"),
        (
            {"name": "Adam", "lr": {"learning_rate": "fast"}},
            "Optimizer.lr.learning_rate must be a number, got 'fast'",
        ),
        (
            {
                "name": "AdamW",
                "lr": LR,
                "weight_decay": 0.1,
                "regularizer": {"name": "L2", "factor": 0.1},
            },
            "Optimizer.weight_decay must not come with a regularizer, got 0.1",
        ),
        (
            {"name": "Adam", "lr": {"name": "Step", "step_size": 2.4, "gamma": 0.1, **LR}},
            "Optimizer.lr.step_size must be a whole number, got 2.4",
        ),
        (
            {"name": "Adam", "lr": {"last_epoch": 3, **LR}},
            "Optimizer.lr.last_epoch must be -1",
        ),
        (
            {"name": "Adam", "lr": LR, "group_lr": True},
            "Optimizer.group_lr gives parts of VisionLAN an lr of their own",
        ),
        (
            {"name": "Adam", "lr": LR, "learning_rate": 0.1},
            "Optimizer.learning_rate raises TypeError in PaddleOCR: it comes from Optimizer.lr",
        ),
        (
            {"name": "Adam", "lr": {"learning_rate": -0.001}},
            "optimizer.lr: lr must be positive, got -0.001",
        ),
    ],
)
def test_what_cannot_be_converted_is_said(block: dict[str, Any], problem: str) -> None:
    assert any(each.startswith(problem) for each in convert({"Optimizer": block}).problems)


@pytest.mark.parametrize(
    ("block", "note"),
    [
        ({"name": "Adam", "foo": 1}, "Optimizer.foo: PaddleOCR's Adam takes it and does not use"),
        ({"name": "Adam", "beta_1": 0.5}, "did you mean 'beta1'?"),
        ({"name": "RMSProp", "centered": True}, "Optimizer.centered: PaddleOCR's RMSProp takes it"),
        ({"name": "Adam", "multi_precision": True}, "Optimizer.multi_precision: PaddleOCR's Adam"),
        ({"name": "AdamW", "amsgrad": True}, "Optimizer.amsgrad: PaddleOCR's AdamW takes it"),
        ({"name": "Adam", "lazy_mode": True}, "Optimizer.lazy_mode: it affects only row-sparse"),
        (
            {"name": "Adam", "clip_norm": 1.0, "clip_norm_global": 2.0},
            "Optimizer.clip_norm_global: PaddleOCR takes clip_norm",
        ),
    ],
)
def test_what_a_class_does_not_use_is_left_out_and_said(block: dict[str, Any], note: str) -> None:
    converted = convert({"Optimizer": {"lr": LR, **block}})

    assert converted.problems == []
    assert any(note in each for each in converted.notes)
    assert not {"centered", "amsgrad", "foo", "multi_precision"} & set(converted.job["optimizer"])


@pytest.mark.parametrize(
    "lr",
    [
        {"name": "DecayLearningRate", "warmup_epoch": 2, "learning_rate": 0.1},
        {"name": "LinearWarmupCosine", "warmup_epoch": 2, "learning_rate": 0.1, "warmup_steps": 0},
    ],
)
def test_a_class_without_a_warmup_gets_none(lr: dict[str, Any]) -> None:
    converted = convert({"Global": {"epoch_num": 9}, "Optimizer": {"name": "Adam", "lr": lr}})

    assert converted.problems == []
    assert converted.job["schedule"].get("warmup") is None
    assert "Optimizer.lr.warmup_epoch" in converted.notes[0]


@pytest.mark.parametrize(
    "case", family("optimizers_paddleocr")["cases"], ids=lambda case: str(case["id"])
)
def test_recorded_blocks_become_jobs_that_validate(case: dict[str, Any]) -> None:
    converted = convert({"Optimizer": case["params"]["config"], "Global": {"epoch_num": 9}})
    assert converted.problems == []
    job = {
        "model": {"kind": "mlp", "hidden": [4]},
        "dataset": {"kind": "digits", "batch_size": 100},
        **converted.job,
    }
    JobSpec.parse(job)


@pytest.mark.parametrize(
    "case", family("schedules_paddleocr")["cases"], ids=lambda case: str(case["id"])
)
def test_recorded_schedules_are_converted_exactly(case: dict[str, Any]) -> None:
    rates = {"name": case["schedule"], **case["params"]}
    epoch, epochs = rates.pop("step_each_epoch"), rates.pop("epochs", None)
    config = {"Optimizer": {"name": "Adam", "lr": rates}, "Global": {"epoch_num": epochs}}

    converted = convert(config)
    assert [entry for entry in converted.entries if entry.fate == "refused"] == []
    total = max(len(case["lr"]), epoch * round(rates.get("warmup_epoch", 0) + 1))
    schedule = make_schedule(
        converted.job["schedule"],
        lr=converted.job["optimizer"].get("lr", 1.0),
        total_steps=total,
        steps_per_epoch=epoch,
    )

    steps = np.arange(len(case["lr"]))
    np.testing.assert_allclose(schedule(steps), case["lr"], rtol=1e-12, atol=1e-16)


def test_an_average_that_paddleocr_does_not_read_refuses_no_file() -> None:
    config = {**CLS, "Global": {"epoch_num": 100, "start_ema": True, "img_scale": [1024, 512]}}

    converted = convert(config)

    assert converted.problems == []
    assert converted.notes == ["Global.start_ema: PaddleOCR does not read it"]
