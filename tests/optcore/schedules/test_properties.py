"""What must hold for every schedule that can be said, whatever its numbers."""

from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import optcore
from optcore.plan.schedule import plan_schedule
from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.dialects import PRECISIONS, Dialectal
from optcore.schedules.families.one_cycle import OneCycle
from optcore.spec.duration import RunLength
from optcore.spec.errors import SpecError
from tests.support.optcore.schedule_specs import (
    EPOCH,
    MAY_GO_BELOW_ZERO,
    SPECS,
    TOTAL,
    fixed,
    made,
    schedules,
    simple,
)


@settings(max_examples=80, deadline=None)
@given(spec=schedules(), lr=st.floats(1e-6, 10))
def test_an_array_is_its_steps_one_by_one(spec: dict[str, Any], lr: float) -> None:
    schedule = made(spec, lr)

    together = schedule(np.arange(TOTAL + 20))

    assert together.dtype == np.float64
    assert together.tolist() == [schedule(t) for t in range(TOTAL + 20)]


@example(
    spec={"kind": "cosine_restarts", "length": 1, "t_mul": 1, "end": 2.0, "m_mul": 1.125}, lr=1.0
)
@settings(max_examples=80, deadline=None)
@given(spec=schedules(), lr=st.floats(1e-6, 10))
def test_lr_is_finite_and_not_negative_unless_the_plan_warns(
    spec: dict[str, Any], lr: float
) -> None:
    schedule = made(spec, lr)
    parsed = fixed(spec)

    lrs = schedule(np.arange(TOTAL))

    assert np.isfinite(lrs).all()
    assert np.isfinite(schedule(np.arange(10 * TOTAL))).all()
    warned = [
        text
        for text in plan_schedule(parsed, lr=lr, total_steps=TOTAL, steps_per_epoch=EPOCH).warnings
        if "goes below 0" in text
    ]
    assert bool(warned) == bool((lrs < 0).any())
    if warned:
        assert MAY_GO_BELOW_ZERO & kinds_in(spec)
        if spec["kind"] not in ("plateau", "greedy"):
            mended = made({"kind": "clamp", "schedule": spec}, lr)(np.arange(TOTAL))
            assert mended.tolist() == np.maximum(lrs, 0.0).tolist()


@settings(max_examples=60, deadline=None)
@given(spec=schedules(), lr=st.floats(1e-6, 10), at=st.integers(0, TOTAL - 1))
def test_a_schedule_made_again_gives_the_same_lr_from_any_step_on(
    spec: dict[str, Any], lr: float, at: int
) -> None:
    whole = made(spec, lr)(np.arange(TOTAL))

    resumed = made(spec, lr)

    assert resumed(np.arange(at, TOTAL)).tolist() == whole[at:].tolist()
    assert resumed(np.arange(TOTAL)).tolist() == whole.tolist()


@settings(max_examples=80, deadline=None)
@given(
    parts=st.lists(simple(stateful=False), min_size=1, max_size=4),
    lengths=st.lists(st.integers(4, 12), min_size=3, max_size=3),
    lr=st.floats(1e-6, 10),
)
def test_a_chain_equals_its_parts_one_after_another(
    parts: list[dict[str, Any]], lengths: list[int], lr: float
) -> None:
    # Parts as long as their place: what a length of null means, and what a list must have.
    parts = [part for part in parts if not {"values", "one_cycle"} & kinds_in(part)]
    parts = parts or [{"kind": "constant"}]
    boundaries = list(accumulate(lengths))[: len(parts) - 1]
    total = 40
    edges = [0, *boundaries, total]

    chain = optcore.make_schedule(
        {"kind": "chain", "schedules": parts, "boundaries": boundaries},
        lr=lr,
        total_steps=total,
        steps_per_epoch=EPOCH,
    )(np.arange(total))

    for part, start, stop in zip(parts, edges, edges[1:], strict=False):
        alone = optcore.make_schedule(part, lr=lr, total_steps=stop - start, steps_per_epoch=EPOCH)
        assert chain[start:stop].tolist() == alone(np.arange(stop - start)).tolist()


@settings(max_examples=80, deadline=None)
@given(
    spec=schedules(warmups=False),
    lr=st.floats(1e-6, 10),
    length=st.integers(1, 10),
    start=st.floats(0, 1),
    after=st.sampled_from(["delay", "overlap"]),
)
def test_behind_a_warmup_is_the_schedule_itself(
    spec: dict[str, Any], lr: float, length: int, start: float, after: str
) -> None:
    warmup = {"length": length, "start": start, "after": after}

    # In dialect timm a plateau changes lr once per epoch, in its warmup too.
    assume((spec["kind"], spec.get("dialect")) != ("plateau", "timm"))
    if spec["kind"] == "two_step_cosine":  # in dialect paddleocr a warmup changes what it means
        spec = {**spec, "after_first": "jump"}
    if spec["kind"] == "inverse_sqrt":  # in dialect transformers a warmup is its timescale
        spec = {"timescale": 50, **spec}
    alone, warm = made(spec, lr), made({**spec, "warmup": warmup}, lr)

    # Without a warmup, the first update in dialect timm has the lr of the optimizer.
    t = np.arange(length + (spec.get("dialect") == "timm"), TOTAL)
    expected = alone(t - length if after == "delay" else t)
    assert warm(t).tolist() == expected.tolist()
    if spec.get("dialect") == "optax":  # computes a rise from its end
        assert warm(0) == pytest.approx(start, rel=1e-6, abs=1e-6 * max(lr, warm(length)))
    else:
        assert warm(0) == np.float64(start) or np.float32(warm(0)) == np.float32(start)


IN_SINGLE = [
    {"kind": kind, **cls.EXAMPLE, "dialect": dialect, "precision": "float32"}
    for kind, cls in SCHEDULES.items()
    if issubclass(cls, Dialectal) and not cls.ONLY_DOUBLE
    for dialect in cls.DIALECTS
    if "float32" in PRECISIONS[dialect]
]


@pytest.mark.parametrize("spec", IN_SINGLE, ids=lambda spec: f"{spec['kind']}-{spec['dialect']}")
def test_the_precision_that_is_accepted_is_that_of_every_value(spec: dict[str, Any]) -> None:
    schedule = optcore.make_schedule(spec, lr=0.1, total_steps=400, steps_per_epoch=20)

    lrs = schedule(np.arange(400))

    assert lrs.tolist() == lrs.astype(np.float32).tolist()


def test_a_job_that_was_accepted_with_a_precision_of_no_effect_is_still_read() -> None:
    spec = {"kind": "one_cycle", "dialect": "torch"}

    old = OneCycle.parse_accepted({**spec, "precision": "float32"})

    run = RunLength(100, 10)
    expected = OneCycle.parse(spec).curve(0.1, run)(np.arange(100.0))
    assert old.curve(0.1, run)(np.arange(100.0)).tolist() == expected.tolist()


SHORT = {"epochs": 0.01}
MOMENTS = {
    ("piecewise", "boundaries"),
    ("multi_step", "milestones"),
    ("chain", "boundaries"),
    ("linear", "begin"),
    ("polynomial", "begin"),
    ("exponential", "begin"),
    ("noise", "end"),
}
"""Points of the run, which may lie between two steps."""
NEEDED: dict[tuple[str, str], dict[str, Any]] = {("wsd", "timescale"): {"stable_power": 0.5}}
"""What must be given with a field."""
TOO_SHORT = [
    {"kind": kind, **cls.EXAMPLE, **NEEDED.get((kind, name), {}), name: SHORT}
    for kind, cls in SCHEDULES.items()
    for name, field in cls.model_fields.items()
    if "Epochs" in str(field.annotation) and (kind, name) not in MOMENTS
]


@pytest.mark.parametrize("spec", TOO_SHORT, ids=lambda spec: str(spec["kind"]))
def test_a_duration_of_less_than_half_a_step_is_refused(spec: dict[str, Any]) -> None:
    (name,) = [name for name, value in spec.items() if value == SHORT]

    with pytest.raises(SpecError) as caught:
        optcore.make_schedule(spec, lr=0.1, total_steps=400, steps_per_epoch=20)

    first = caught.value.problems[0].message
    assert first.startswith(f"{name} must be at least 1 step, got 0.01 epochs (0.2 steps)")


def test_the_strategies_know_every_schedule() -> None:
    assert set(SPECS) == set(SCHEDULES)


def kinds_in(spec: dict[str, Any]) -> set[str]:
    inner = [spec["schedule"]] if "schedule" in spec else spec.get("schedules", [])
    return {spec["kind"]}.union(*(kinds_in(part) for part in inner))
