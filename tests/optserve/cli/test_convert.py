"""PaddleOCR's optimizer blocks become a job's optimizer and schedule, or a list of reasons."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optcore.recipes.paddleocr import convert, convert_file
from optcore.schedules.make import make_schedule
from optserve.contract.requests.job import JobSpec
from tests.support.optcore.goldens import family

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
    assert converted.as_job() == {
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
    assert converted.optimizer["clip"] == {"kind": "norm", "max": 10.0}
    assert converted.optimizer["no_weight_decay_name"] == "norm bias"
    assert converted.schedule["warmup"] == {
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
    assert converted.optimizer["weight_decay"] == 0.05
    assert converted.optimizer["clip"] == {"kind": "norm", "max": 1.0}


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"name": "Adan"}, "Optimizer.name must be one of Adam, AdamW, Momentum, RMSProp, "),
        ({"name": "Adam", "lr": {"name": "Nope"}}, "Optimizer.lr.name Nope has no exactly equi"),
        ({"name": "Adam", "foo": 1}, "Optimizer.foo has no counterpart in adam, got 1"),
        ({"name": "Adam", "lr": {"name": "Cosine"}}, "Global.epoch_num is required for Cosine"),
        ({"name": "Adam", "lr": {"name": "Const"}}, "Optimizer.lr.learning_rate is required for"),
        ({"name": "Adam", "regularizer": {"name": "L3"}}, "Optimizer.regularizer.name must be L1"),
        ({"name": "Adam", "regularizer": 1e-5}, "Optimizer.regularizer must be a mapping, got 1e"),
        ({"name": "Adam", "lr": 0.001}, "Optimizer.lr must be a mapping, got 0.001"),
        ({"name": "Adam", "clip_norm": "big"}, "Optimizer.clip_norm must be a number, got 'big'"),
        ({"name": "Adam", "beta1": [0.9]}, "Optimizer.beta1 must be a number, got [0.9]"),
        (
            {"name": "Adam", "lr": {"learning_rate": "fast"}},
            "Optimizer.lr must hold numbers, or lists of them, for Const, got {'learning_rate': 'f",
        ),
        (
            {"name": "AdamW", "weight_decay": 0.1, "regularizer": {"name": "L2", "factor": 0.1}},
            "Optimizer.weight_decay must not come with a regularizer, got 0.1",
        ),
        (
            {"name": "AdamW", "amsgrad": True, "lr": {"learning_rate": 0.001}},
            "optimizer.amsgrad: amsgrad",
        ),
        (
            {"name": "Adam", "lr": {"learning_rate": -0.001}},
            "optimizer.lr: lr must be positive, got -0.001",
        ),
    ],
)
def test_what_cannot_be_converted_is_said(block: dict[str, Any], problem: str) -> None:
    assert problem in convert({"Optimizer": block}).problems[0]


@pytest.mark.parametrize(
    "case", family("optimizers_paddleocr")["cases"], ids=lambda case: str(case["id"])
)
def test_recorded_blocks_become_jobs_that_validate(case: dict[str, Any]) -> None:
    converted = convert({"Optimizer": case["params"]["config"], "Global": {"epoch_num": 9}})
    if converted.problems:
        assert all("has no schedule" in problem for problem in converted.problems)
        return

    job = {
        "model": {"kind": "mlp", "hidden": [4]},
        "dataset": {"kind": "digits", "batch_size": 100},
        **converted.as_job(),
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
    assert converted.problems == []
    total = max(len(case["lr"]), epoch * round(rates.get("warmup_epoch", 0) + 1))
    schedule = make_schedule(
        converted.schedule,
        lr=converted.optimizer.get("lr", 1.0),
        total_steps=total,
        steps_per_epoch=epoch,
    )

    steps = np.arange(len(case["lr"]))
    np.testing.assert_allclose(schedule(steps), case["lr"], rtol=1e-12, atol=1e-16)


def test_a_file_is_read(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "cls.yml"
    path.write_text("Optimizer:\n  name: Adam\n  lr:\n    learning_rate: 0.001\n")

    assert convert_file(path).optimizer == {"kind": "adam", "dialect": "paddleocr", "lr": 0.001}
