"""What is wrong with a schedule is said with field, rule and value, and the nearest right name."""

from typing import Any

import pytest

import optcore
from optcore.plan.schedule import plan_schedule
from optcore.spec.errors import SpecError
from tests.support.optcore.schedule_specs import fixed

WRONG: list[tuple[dict[str, Any], str, str]] = [
    (
        {"kind": "cosine_restart", "length": 5},
        "kind",
        "got 'cosine_restart'; did you mean 'cosine_restarts'?",
    ),
    (
        {"kind": "cosine", "lenght": 5},
        "lenght",
        "unknown field 'lenght'; did you mean 'length'? (known: kind, warmup, dialect, precision, "
        "length, end, end_fraction, past_end, num_cycles, exponent, k_decay)",
    ),
    (
        {"kind": "piecewise", "boundaries": [20, 20], "values": [1.0, 0.5, 0.1]},
        "boundaries[1]",
        "boundaries must increase, got 20 steps after 20 steps",
    ),
    (
        {"kind": "piecewise", "boundaries": [0], "values": [1.0, 0.5]},
        "boundaries[0]",
        "boundaries must increase, got 0 steps after 0 steps",
    ),
    (
        {"kind": "piecewise", "boundaries": [20], "values": [1.0]},
        "values",
        "values must have at least 2 entries, got 1",
    ),
    (
        {"kind": "piecewise", "boundaries": [20], "values": [1.0, 0.5, 0.1]},
        "values",
        "values must have one entry more than boundaries: 2 for 1 boundaries, got 3",
    ),
    (
        {"kind": "values", "values": [0.1] * 99},
        "values",
        "values must have one entry per step of the run: 100, got 99",
    ),
    (
        {"kind": "multi_step", "milestones": [20, 10]},
        "milestones[1]",
        "milestones must not decrease, got 10 steps after 20 steps",
    ),
    (
        {"kind": "cosine", "warmup": {"length": 100}},
        "warmup.length",
        "length must be shorter than the run of 100 steps, got 100 steps",
    ),
    (
        {"kind": "cosine", "warmup": {"length": 10, "shape": "exponential"}},
        "warmup.start",
        "start must be positive if shape is 'exponential', got 0.0",
    ),
    (
        {"kind": "exponential", "rate": 0.9, "every": 0},
        "every",
        "every must be at least 1 step, got 0 steps",
    ),
    (
        {"kind": "exponential", "rate": 0.9, "every": {"epochs": 0.01}},
        "every",
        "every must be at least 1 step, got 0.01 epochs (0.1 steps)",
    ),
    (
        {"kind": "exponential", "rate": 1e9},
        "rate",
        "rate must keep lr finite over the run, got 1e+09, which comes to 1e+09 ** 100",
    ),
    (
        {"kind": "polynomial", "power": -0.5},
        "power",
        "power must be positive, got -0.5",
    ),
    (
        {"kind": "polynomial", "power": float("nan")},
        "power",
        "power must be positive, got nan",
    ),
    (
        {"kind": "cosine", "end": 0.1, "end_fraction": 0.1},
        "end_fraction",
        "end_fraction must not be given together with end, got 0.1 and 0.1",
    ),
    (
        {"kind": "cosine", "dialect": "kears"},
        "dialect",
        "dialect must be one of plain, torch, paddle, paddleocr, mindspore, keras, tf1, "
        "transformers, optax, timm, got 'kears'; did you mean 'keras'?",
    ),
    (
        {"kind": "one_cycle", "dialect": "keras"},
        "dialect",
        "dialect keras does not exist for one_cycle, only plain, torch, paddle, paddleocr",
    ),
    (
        {"kind": "cosine", "precision": "float32"},
        "precision",
        "precision must be float64 in dialect plain, got 'float32'",
    ),
    (
        {"kind": "one_cycle", "dialect": "torch", "precision": "float32"},
        "precision",
        "precision must be float64 for one_cycle, got 'float32': frameworks compute its lr in "
        "Python's floats",
    ),
    (
        {"kind": "plateau", "dialect": "torch", "precision": "float32"},
        "precision",
        "precision must be float64 for plateau, got 'float32': frameworks compute its lr in "
        "Python's floats",
    ),
    (
        {"kind": "one_cycle", "three_phase": True, "pct_start": 0.6},
        "pct_start",
        "pct_start must be below 0.5 with three phases, got 0.6",
    ),
    (
        {"kind": "one_cycle", "pct_start": 0.01},
        "pct_start",
        "pct_start must not give exactly 1 of the 100 steps to the rise, got 0.01",
    ),
    (
        {"kind": "one_cycle", "dialect": "torch", "length": 50},
        "length",
        "length must leave at most 1 of the 100 steps of the run after the cycle, got 50 "
        "steps: torch fails at the second; use past_end hold",
    ),
    (
        {"kind": "wsd", "decay": 101},
        "decay",
        "decay must be at most the length of 100 steps, got 101",
    ),
    (
        {"kind": "tanh", "lower": 3.0, "upper": 3.0},
        "upper",
        "upper must be above lower, which is 3.0, got 3.0",
    ),
    (
        {"kind": "cyclic", "base": 0.1, "mode": "scales"},
        "scales",
        "scales must be given in mode scales, got null",
    ),
    (
        {"kind": "clamp", "schedule": {"kind": "cosine"}, "min": 0.5, "max": 0.1},
        "max",
        "max must be at least min, which is 0.5, got 0.1",
    ),
    (
        {"kind": "chain", "schedules": [{"kind": "cosine"}], "boundaries": [5]},
        "boundaries",
        "boundaries must have one entry fewer than schedules: 0 for 1 schedules, got 1",
    ),
    (
        {
            "kind": "chain",
            "schedules": [{"kind": "cosine"}, {"kind": "step", "every": {"epochs": 0.01}}],
            "boundaries": [5],
        },
        "schedules[1].every",
        "every must be at least 1 step, got 0.01 epochs (0.1 steps)",
    ),
    (
        {"kind": "scale", "factor": 0.5, "schedule": {"kind": "plateau"}},
        "schedule.kind",
        "got 'plateau'",
    ),
    (
        {"kind": "linear", "dialect": "torch", "precision": "float32", "start_fraction": 0.0},
        "start_fraction",
        "start_fraction must be positive in dialect torch, whose LinearLR multiplies the "
        "current lr, got 0.0",
    ),
    (
        {"kind": "greedy", "min_lr": 2.0},
        "min_lr",
        "min_lr must be at most max_lr, got 2.0 and 1.0",
    ),
]


@pytest.mark.parametrize(("spec", "param", "message"), WRONG)
def test_an_error_names_the_field(spec: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        optcore.make_schedule(spec, lr=0.1, total_steps=100, steps_per_epoch=10)

    (problem,) = caught.value.problems
    assert problem.param == param
    assert message in problem.message


WARNED: list[tuple[dict[str, Any], str]] = [
    (
        {"kind": "cosine", "length": 200, "end": 0.01},
        "schedule: lr never reaches its end of 0.01: the fall is over after 200 steps, the run "
        "after 100",
    ),
    (
        {"kind": "cosine", "length": 50, "dialect": "torch"},
        "schedule.past_end: lr rises again after 50 steps of 100; hold keeps it at its end",
    ),
    (
        {"kind": "noam", "d_model": 64, "warmup_steps": 4000},
        "schedule: lr is still in its warmup when the run of 100 steps ends",
    ),
    (
        {"kind": "one_cycle", "dialect": "paddle", "length": 99, "shape": "linear", "end": 0.0},
        "schedule: lr goes below 0, to -0.001443 at step 99, as the schedule's formula says; put a "
        "clamp around the schedule to prevent this",
    ),
    (
        {"kind": "two_step_cosine", "dialect": "paddleocr", "first": 40},
        "schedule.after_first: lr stays at its end after step 40, as in PaddleOCR; jump "
        "starts the second cosine there",
    ),
    (
        {"kind": "cyclic", "base": 0.01},
        "schedule.up: lr never reaches its peak, which is at step 2000: the run ends after "
        "100 steps",
    ),
    (
        {"kind": "scale", "factor": 0.5, "schedule": {"kind": "step", "every": 100}},
        "schedule.schedule.every: lr never changes: its first stair ends after 100 steps, the run "
        "after 100",
    ),
    (
        {
            "kind": "chain",
            "schedules": [{"kind": "constant"}, {"kind": "linear", "length": 60}],
            "boundaries": [50],
        },
        "schedule.schedules[1]: lr never reaches its end of 0: the fall is over after 60 steps, "
        "the run after 50",
    ),
    (
        {"kind": "plateau"},
        "schedule: lr depends on val_loss; the planned lr leaves out the changes by that metric",
    ),
]


@pytest.mark.parametrize(("spec", "warning"), WARNED)
def test_a_spec_that_is_probably_not_meant_has_a_warning(
    spec: dict[str, Any], warning: str
) -> None:
    known = plan_schedule(fixed(spec), lr=0.1, total_steps=100, steps_per_epoch=10)

    assert known.warnings == [warning]


RISING: dict[str, Any] = {"kind": "cosine", "warmup": {"length": 20}}
TORCH_RISE = {"kind": "linear", "start_fraction": 0.1, "end_fraction": 1.0, "length": 20}


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "chain", "schedules": [RISING, {"kind": "cosine"}], "boundaries": [50]},
        {"kind": "chain", "schedules": [TORCH_RISE, {"kind": "cosine"}], "boundaries": [20]},
        {"kind": "product", "schedules": [{"kind": "step", "every": 30}, TORCH_RISE]},
        {"kind": "shift", "by": 5, "schedule": {"kind": "cosine", "warmup": {"length": 25}}},
        {"kind": "scale", "factor": 0.5, "schedule": RISING},
    ],
    ids=lambda spec: str(spec["kind"]),
)
def test_warmup_share_counts_every_form_of_warmup(spec: dict[str, Any]) -> None:
    known = plan_schedule(fixed(spec), lr=0.1, total_steps=100, steps_per_epoch=10)

    assert known.warmup_share == 0.2
    assert known.warnings == []


NOT_FINITE: list[tuple[dict[str, Any], float, str]] = [
    (
        {"kind": "scale", "factor": 1e300, "schedule": {"kind": "scale", "factor": 1e300,
         "schedule": {"kind": "constant"}}},
        0.1,
        "got inf at step 0",
    ),
    (
        {"kind": "cosine", "warmup": {"length": 10, "shape": "exponential", "start": 1e-320}},
        0.1,
        "got inf at step 1",
    ),
    (
        {"kind": "cosine", "warmup": {"length": 10, "shape": "exponential", "start": 1e-300,
         "end": 1e300}},
        0.1,
        "got inf at step 1",
    ),
    (
        {"kind": "linear", "dialect": "torch", "precision": "float32", "start_fraction": 1e-60},
        0.1,
        "got nan at step 1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "lr", "got"), NOT_FINITE)
def test_a_plan_where_lr_is_not_finite_is_refused(
    spec: dict[str, Any], lr: float, got: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan_schedule(
            fixed(spec), lr=lr, total_steps=100, steps_per_epoch=10, param="groups[1].schedule"
        )

    assert str(caught.value) == (
        "groups[1].schedule: groups[1].schedule must give a finite number at every step, " + got
    )


def test_a_plan_is_computed_at_every_step() -> None:
    spec = fixed({"kind": "linear", "warmup": {"length": 25, "after": "delay"}, "length": 75})

    known = plan_schedule(spec, lr=0.1, total_steps=100, steps_per_epoch=10)

    assert (known.first, known.peak, known.peak_step) == (0.0, 0.1, 25)
    assert known.last == pytest.approx(0.1 / 75)
    assert known.area == pytest.approx(0.1 * (12 + 38))
    assert known.warmup_share == 0.25
    assert known.warnings == []
