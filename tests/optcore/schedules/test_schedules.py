"""Schedules against their formulas, at the steps where libraries differ."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import optcore
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families.modifiers import Shift
from optcore.spec.duration import RunLength
from optcore.spec.errors import SpecError


def lrs(spec: dict[str, Any], *, lr: float = 1.0, total_steps: int = 12) -> list[float]:
    schedule = optcore.make_schedule(spec, lr=lr, total_steps=total_steps, steps_per_epoch=4)
    return [round(x, 12) for x in schedule(np.arange(total_steps + 1))]


def test_a_schedule_without_a_formula_cannot_be_made() -> None:
    class Forgotten(ScheduleSpec):
        kind: str = "forgotten"

    with pytest.raises(TypeError, match="_formula"):
        Forgotten.parse({})


def test_constant() -> None:
    assert lrs({"kind": "constant"}, lr=0.3) == [0.3] * 13


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_line_between_fractions_of_0_is_0(precision: str) -> None:
    """A momentum or a weight decay may be 0; only an absolute end is divided by it."""
    ends = {"start_fraction": 0.5, "end_fraction": 1.0}
    spec = {"kind": "linear", "dialect": "torch", "precision": precision, **ends}

    assert lrs(spec, lr=0.0) == [0.0] * 13


def test_a_shift_costs_the_steps_left_out_once() -> None:
    shifted = Shift.parse({"kind": "shift", "by": 100, "schedule": {"kind": "cosine"}})

    assert shifted.cost(RunLength(400, 20)) == 400 + 500


def test_cosine_falls_to_its_end_and_stays() -> None:
    values = lrs({"kind": "cosine", "length": 4, "end": 0.2})

    assert values[0] == 1.0
    assert values[2] == 0.6
    assert values[4:] == [0.2] * 9


def test_cosine_without_a_length_is_as_long_as_the_run() -> None:
    values = lrs({"kind": "cosine"})

    assert values[6] == 0.5
    assert values[12] == 0.0
    assert values[11] > 0


def test_linear() -> None:
    assert lrs({"kind": "linear", "length": {"epochs": 1}, "end": 0.2})[:6] == [
        1.0, 0.8, 0.6, 0.4, 0.2, 0.2,
    ]  # fmt: skip


def test_step_multiplies_at_the_first_step_of_each_interval() -> None:
    assert lrs({"kind": "step", "every": 5, "gamma": 0.1})[3:7] == [1.0, 1.0, 0.1, 0.1]


def test_piecewise_takes_the_new_value_at_the_boundary() -> None:
    spec = {"kind": "piecewise", "boundaries": [2, {"epochs": 1}], "values": [0.5, 0.1, 0.01]}

    assert lrs(spec, lr=99.0)[:6] == [0.5, 0.5, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("delay", [0, 0.25, 0.5, 0.75, 1, 11 / 12, 10 / 12, 9 / 12, 8 / 12]),
        ("overlap", [0, 0.25, 0.5, 0.75, 8 / 12, 7 / 12, 6 / 12, 5 / 12, 4 / 12]),
        ("compress", [0, 0.25, 0.5, 0.75, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8]),
    ],
)
def test_after_decides_where_the_schedule_is_behind_its_warmup(
    after: str, expected: list[float]
) -> None:
    values = lrs({"kind": "linear", "warmup": {"length": 4, "after": after}})

    assert values[:9] == [round(x, 12) for x in expected]


@pytest.mark.parametrize(
    ("dialect", "last"),
    [
        ("torch", 0.206107),  # SequentialLR of LinearLR and CosineAnnealingLR(10)
        ("paddle", 0.206107),  # LinearWarmup of CosineAnnealingDecay(10)
        ("paddleocr", 0.206107),  # Cosine(warmup_epoch=3), recorded
        ("keras", 0.206107),  # CosineDecay(decay_steps=10, warmup_target)
        ("plain", 0.003466),  # squeezed into what the warmup left of the run
        ("mindspore", 0.003466),
        ("tf1", 0.003466),
    ],
)
def test_the_default_of_after_depends_on_the_dialect(dialect: str, last: float) -> None:
    spec = {"kind": "cosine", "dialect": dialect, "length": 10, "warmup": {"length": 3}}

    schedule = optcore.make_schedule(spec, lr=1.0, total_steps=11)

    assert schedule(10) == pytest.approx(last, abs=1e-6)


def test_a_warmup_of_paddleocr_moves_the_boundaries() -> None:
    spec = {"kind": "piecewise", "boundaries": [4, 6], "values": [1.0, 0.5, 0.1]}
    warmup = {"warmup": {"length": 3}}

    assert lrs({**spec, "dialect": "paddleocr", **warmup})[5:11] == [1, 1, 0.5, 0.5, 0.1, 0.1]
    assert lrs({**spec, **warmup})[3:8] == [1, 0.5, 0.5, 0.1, 0.1]


def test_a_warmup_rises_from_start_to_the_first_value() -> None:
    spec = {
        "kind": "piecewise",
        "boundaries": [5],
        "values": [0.5, 0.1],
        "warmup": {"length": 2, "start": 0.1, "after": "delay"},
    }

    assert lrs(spec)[:9] == [0.1, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]


def test_an_exponential_rise_towards_a_curve_is_0_where_the_curve_is_0() -> None:
    warmup = {
        **{"length": 10, "shape": "exponential", "start_fraction": 0.1},
        **{"toward": "curve", "after": "overlap"},
    }
    spec = {"kind": "linear", "end": 0.0, "length": 5, "warmup": warmup}

    lrs = optcore.make_schedule(spec, lr=1.0, total_steps=20)(np.arange(12))

    assert lrs[0] == pytest.approx(0.1)
    assert (lrs[1:5] > 0).all()
    assert (lrs[5:] == 0).all()


def test_a_warmup_leaves_boundaries_in_place_unless_after_says_otherwise() -> None:
    spec: dict[str, Any] = {"kind": "piecewise", "boundaries": [10], "values": [1.0, 0.1]}

    assert lrs({**spec, "warmup": {"length": 4}})[9:11] == [1.0, 0.1]
    assert lrs({**spec, "warmup": {"length": 4, "after": "delay"}}, total_steps=20)[13:15] == [
        1.0,
        0.1,
    ]


@given(total=st.integers(2, 300), length=st.integers(1, 299), boundary=st.integers(1, 299))
def test_a_compressed_boundary_is_at_its_exact_step(total: int, length: int, boundary: int) -> None:
    """In whole numbers: the boundary is reached where (t - w) * T >= b * (T - w)."""
    assume(length < total)
    spec = {
        "kind": "piecewise",
        "boundaries": [boundary],
        "values": [1.0, 0.1],
        "warmup": {"length": length, "after": "compress"},
    }

    values = optcore.make_schedule(spec, lr=1.0, total_steps=total)(np.arange(length, total))

    reached = [(t - length) * total >= boundary * (total - length) for t in range(length, total)]
    assert values.tolist() == [0.1 if r else 1.0 for r in reached]


def test_a_number_gives_a_number_and_an_array_an_array() -> None:
    schedule = optcore.make_schedule({"kind": "cosine"}, lr=0.1, total_steps=4)

    assert schedule(2) == 0.05
    assert isinstance(schedule(2), float)
    assert schedule([0, 4]).tolist() == [0.1, 0.0]


def test_a_duration_that_does_not_fit_the_run_is_refused() -> None:
    with pytest.raises(SpecError, match="length must be shorter than the run of 5 steps, got 5 st"):
        optcore.make_schedule({"kind": "cosine", "warmup": {"length": 5}}, lr=1.0, total_steps=5)


DURATION = st.one_of(
    st.integers(1, 60), st.builds(lambda e: {"epochs": e}, st.floats(0.3, 10).map(float))
)
RATE = st.floats(0, 10)
CURVE = st.one_of(
    st.just({"kind": "constant"}),
    st.fixed_dictionaries({"kind": st.just("cosine"), "length": DURATION, "end": RATE}),
    st.fixed_dictionaries({"kind": st.just("linear"), "length": DURATION, "end": RATE}),
    st.fixed_dictionaries(
        {"kind": st.just("step"), "every": DURATION, "gamma": st.floats(0.01, 1)}
    ),
)
WARMUP = st.fixed_dictionaries(
    {
        "length": st.integers(1, 39),
        "start": RATE,
        "after": st.sampled_from(["delay", "overlap", "compress"]),
    }
)


@settings(max_examples=200, deadline=None)
@given(curve=CURVE, warmup=st.one_of(st.none(), WARMUP), lr=st.floats(1e-6, 10))
def test_every_schedule_is_a_finite_pure_function_of_the_step(
    curve: dict[str, Any], warmup: dict[str, Any] | None, lr: float
) -> None:
    spec = {**curve, "warmup": warmup}
    schedule = optcore.make_schedule(spec, lr=lr, total_steps=40, steps_per_epoch=4)

    together = schedule(np.arange(60))

    assert np.isfinite(together).all()
    assert (together >= 0).all()
    assert together.tolist() == [schedule(t) for t in range(60)]
    assert together[17:].tolist() == schedule(np.arange(17, 60)).tolist()
