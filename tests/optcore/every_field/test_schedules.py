"""Every field of every schedule, moved in every dialect, changes the lr or is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.make import MetricDrivenSchedule, make_schedule, parse_schedule
from optcore.spec.duration import RunLength
from tests.support.optcore.moving.search import Search

TOTAL, EPOCH = 400, 20
"""Steps of the run that the examples of schedules are for, and of an epoch."""
WARMUP = {"length": 40, "start": 0.25}
FOLLOW_A_METRIC = ("plateau", "greedy")
"""Schedules whose lr is computed anew after each of hundreds of observations."""
FORMS = [(kind, d) for kind, cls in SCHEDULES.items() for d in getattr(cls, "DIALECTS", ())]
FORMS += [(kind, "plain") for kind in SCHEDULES]
MORE: dict[str, list[dict[str, Any]]] = {
    "inverse_sqrt": [{"warmup": WARMUP}],
    "cyclic": [{"base": 0.1, "up": 40, "mode": "scales", "scales": [1.0, 0.5, 0.25]}],
    "one_cycle": [{"length": TOTAL - 1}],
    "plateau": [{"patience": 0, "cooldown": 3, "factor": 0.9}],
}
"""Specs in which a field has an effect that one or two fields moved do not reach."""
WITHOUT_EFFECT = {
    ("noam", ("dialect",)),  # Paddle has the formula of the article
    ("cyclic", ("dialect",)),  # torch and Paddle have one formula
    ("plateau", ("warmup", "after")),  # its lr does not depend on t, so it starts nowhere
    ("greedy", ("warmup", "after")),  # likewise
}
"""Fields that change nothing, with the reason."""
SOMETIMES = {
    # What happens after a curve's end changes nothing where that is the end of the run.
    *(("cosine", "past_end"), ("one_cycle", "past_end"), ("two_step_cosine", "past_end")),
    ("polynomial", "cycle"),
    ("noise", "end"),  # likewise: those that are accepted beside begin lie after the run
    ("constant", "after"),  # wherever a constant starts, it is the same
    # Whether a warmup rises to the curve or to its first value: the curve is constant that long.
    *((kind, "toward") for kind in ("multi_step", "piecewise", "polynomial", "step", "wsd")),
    *(("constant", "precision"), ("piecewise", "precision")),  # of numbers that float32 has
    *(("cycle", "t_mul"), ("cycle", "factor")),  # there is a warning whatever the value is
}
"""Fields that change nothing in some of the specs here, for a reason that is no other field."""


def metrics() -> list[float]:
    """Return values of a metric that falls, jumps, rises and stays."""
    jumps = np.random.Generator(np.random.Philox(1)).random(100) * 0.3 + 0.2
    falls, rises = 1 / (1 + np.arange(30) * 0.1), np.linspace(0.5, 0.9, 60)
    return [*falls.tolist(), *jumps.tolist(), *rises.tolist(), *[0.9] * 150]


def effect(spec: ScheduleSpec) -> object:
    schedule = make_schedule(spec, lr=0.8, total_steps=TOTAL, steps_per_epoch=EPOCH)
    warnings = tuple(spec.warnings_in(RunLength(TOTAL, EPOCH)))
    planned = schedule(np.arange(TOTAL)).tobytes(), warnings
    if not isinstance(schedule, MetricDrivenSchedule):
        return planned
    seen = []
    for value in metrics():
        schedule.observe(value)
        seen.append(schedule(TOTAL))
    return planned, seen, schedule.metric


@cache
def bases(kind: str, dialect: str) -> list[dict[str, Any]]:
    cls = SCHEDULES[kind]
    form = {"kind": kind, "dialect": dialect} if hasattr(cls, "DIALECTS") else {"kind": kind}
    own = [cls.EXAMPLE, *MORE.get(kind, [])]
    own += [each for each in cls.VARIANTS.values() if each.get("kind", kind) == kind]
    found: list[dict[str, Any]] = [{**form, **each} for each in own]
    return [*found, *({**base, "warmup": WARMUP} for base in found)]


@cache
def search(kind: str, dialect: str) -> Search[ScheduleSpec]:
    # The schedules inside of others are moved by themselves.
    return Search(parse_schedule, effect, skip=frozenset({"schedule", "schedules"}))


@pytest.mark.parametrize(
    ("kind", "dialect"),
    [
        pytest.param(kind, dialect, marks=pytest.mark.long)
        if kind in FOLLOW_A_METRIC
        else (kind, dialect)
        for kind, dialect in FORMS
    ],
)
def test_every_field_changes_the_lr_or_is_refused(kind: str, dialect: str) -> None:
    idle = {
        (kind, each.path) for each in search(kind, dialect).of(bases(kind, dialect)) if each.idle
    }

    assert idle - WITHOUT_EFFECT == set()


@pytest.mark.parametrize(
    ("kind", "dialect"), [form for form in FORMS if form[0] not in FOLLOW_A_METRIC]
)
def test_a_field_that_another_field_makes_useless_is_warned_of(kind: str, dialect: str) -> None:
    """The warnings are a part of the effect."""
    idle = search(kind, dialect).idle_somewhere(bases(kind, dialect))

    # The dialect aside: in many specs two frameworks compute the same.
    useless = {(kind, path[-1]) for path in idle} - {(kind, "dialect")}
    assert useless - SOMETIMES == set()


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        (
            {"kind": "cyclic", "base": 0.1, "up": 40, "gamma": 0.9},
            "schedule.gamma: is not used, since mode is triangular, not exp_range",
        ),
        (
            {"kind": "cyclic", "base": 0.1, "up": 40, "scale_per": "step"},
            "schedule.scale_per: is not used, since mode is triangular, not scales",
        ),
        (
            {"kind": "one_cycle", "dialect": "paddle", "final_div_factor": 100.0},
            "schedule.final_div_factor: is not used, since end is 0.0001",
        ),
        (
            {"kind": "one_cycle", "start": 0.1, "div_factor": 10.0},
            "schedule.div_factor: is not used, since start is 0.1",
        ),
        (
            {"kind": "constant", "length": 10},
            "schedule.length: is not used, since factor is 1",
        ),
        (
            {"kind": "cycle", "schedule": {"kind": "rex"}, "length": 50, "edges": "logarithm"},
            "schedule.edges: is not used, since t_mul is 1",
        ),
        (
            {"kind": "natural_exponential", "dialect": "mindspore", "rate": 0.1, "every": 10},
            "schedule.every: is not used, since staircase is false: MindSpore computes "
            "exp(-rate * t) then",
        ),
        (
            {"kind": "two_step_cosine", "first": 10, "length": 50, "after_first": "zero"},
            "schedule.length: is not used, since lr stays at its end where after_first is zero "
            "and past_end is hold",
        ),
        (
            {"kind": "scale", "schedule": {"kind": "constant", "length": 10}, "factor": 0.5},
            "schedule.schedule.length: is not used, since factor is 1",
        ),
    ],
)
def test_a_warning_says_which_field_makes_another_useless(
    spec: dict[str, Any], warning: str
) -> None:
    assert warning in parse_schedule(spec).warnings_in(RunLength(TOTAL, EPOCH))


@pytest.mark.parametrize("kind", ["noam", "cyclic"])
def test_dialects_without_effect_have_one_formula(kind: str) -> None:
    cls = SCHEDULES[kind]
    dialects = ["plain", *getattr(cls, "DIALECTS", ())]

    curves = {effect(parse_schedule({"kind": kind, "dialect": d, **cls.EXAMPLE})) for d in dialects}

    assert len(curves) == 1


@pytest.mark.parametrize("kind", ["plateau", "greedy"])
def test_a_schedule_that_follows_a_metric_is_the_same_wherever_it_starts(kind: str) -> None:
    def planned(after: str) -> object:
        spec = {"kind": kind, "warmup": {**WARMUP, "after": after}}
        return effect(parse_schedule(spec))

    assert planned("delay") == planned("overlap") == planned("compress")


def test_hardly_any_field_is_without_effect() -> None:
    assert len(WITHOUT_EFFECT) <= 0.02 * sum(len(cls.model_fields) for cls in SCHEDULES.values())
