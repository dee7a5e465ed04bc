"""Greedy, observation by observation; plateau is checked against torch and recorded runs."""

import json
from typing import Any

import numpy as np
import pytest

import optcore
from optcore.schedules.make import MetricDrivenSchedule


def greedy(**fields: Any) -> MetricDrivenSchedule:
    spec = {"kind": "greedy", "patience": 1, "factor": 0.5, "min_lr": 0.01, **fields}
    schedule = optcore.make_schedule(spec, lr=0.1, total_steps=100)
    assert isinstance(schedule, MetricDrivenSchedule)
    return schedule


def after(schedule: MetricDrivenSchedule, *metrics: float) -> list[float]:
    lrs = []
    for metric in metrics:
        schedule.observe(metric)
        lrs.append(round(schedule(0), 6))
    return lrs


def test_lr_doubles_while_the_loss_falls_and_halves_while_it_does_not() -> None:
    assert after(greedy(), 5, 4, 3, 2, 2, 2, 2, 2) == [0.1, 0.2, 0.2, 0.4, 0.4, 0.2, 0.2, 0.1]


def test_lr_stays_within_its_bounds() -> None:
    assert after(greedy(max_lr=0.15), 5, 4, 3, 2) == [0.1, 0.15, 0.15, 0.15]
    assert after(greedy(min_lr=0.08), 5, 5, 5, 5) == [0.1, 0.1, 0.08, 0.08]


def test_rest_and_cooldown_skip_observations() -> None:
    assert after(greedy(rest=2), 5, 4, 3, 2, 1, 0) == [0.1, 0.2, 0.2, 0.2, 0.2, 0.4]
    assert after(greedy(cooldown=1), 5, 5, 5, 5, 5, 5) == [0.1, 0.1, 0.05, 0.05, 0.05, 0.025]


def test_it_starts_again_after_enough_reductions_at_the_floor() -> None:
    schedule = greedy(min_lr=0.1, reset_after=2)

    assert after(schedule, 5, 4, 4, 4, 4, 4) == [0.1, 0.2, 0.2, 0.1, 0.1, 0.1]
    assert schedule.state_dict()["best"] == "Infinity"


def test_the_metric_is_averaged_over_a_window() -> None:
    schedule = greedy(window=2, patience=0)

    assert after(schedule, 4, 4, 0, 4) == [0.2, 0.1, 0.2, 0.1]


@pytest.mark.parametrize("kind", ["greedy", "plateau"])
def test_the_state_is_json_and_complete(kind: str) -> None:
    spec = {"kind": kind, "patience": 1, "factor": 0.5, "cooldown": 2, "warmup": {"length": 5}}
    metrics = [3.0, 2.0, 2.0, 2.5, 1.0, float("nan"), 1.0, 1.0, 1.0, 0.5]
    whole: Any = optcore.make_schedule(spec, lr=0.1, total_steps=100)
    resumed: Any = optcore.make_schedule(spec, lr=0.1, total_steps=100)

    for metric in metrics:
        whole.observe(metric)
        resumed.observe(metric)
        state = json.loads(json.dumps(resumed.state_dict()))
        resumed = optcore.make_schedule(spec, lr=0.1, total_steps=100)
        resumed.load_state_dict(state)
        assert resumed(10) == whole(10)
        assert resumed.state_dict() == whole.state_dict()


def test_the_state_of_another_schedule_is_refused() -> None:
    text = "state must have the keys at_floor, bad, best, good, lr, recent"
    with pytest.raises(ValueError, match=text):
        greedy().load_state_dict({"lr": 0.1})


def test_the_warmup_of_plateau_in_dialect_timm_has_the_shape_and_start_that_are_given() -> None:
    warmup = {"length": {"epochs": 4}, "shape": "square", "start_fraction": 0.5}
    spec = {"kind": "plateau", "dialect": "timm", "warmup": warmup}

    schedule = optcore.make_schedule(spec, lr=1.0, total_steps=12, steps_per_epoch=2)

    lrs = [0.5, 0.53125, 0.625, 0.78125, 1.0, 1.0]
    assert schedule(np.arange(12)).tolist() == [lr for lr in lrs for _ in range(2)]
