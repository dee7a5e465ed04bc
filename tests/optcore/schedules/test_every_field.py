"""Every field of every schedule, moved in every dialect, changes the lr or is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.make import MetricDrivenSchedule, make_schedule, parse_schedule
from tests.support.optcore.moving.search import Found, Search

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


def metrics() -> list[float]:
    """Return values of a metric that falls, jumps, rises and stays."""
    jumps = np.random.Generator(np.random.Philox(1)).random(100) * 0.3 + 0.2
    falls, rises = 1 / (1 + np.arange(30) * 0.1), np.linspace(0.5, 0.9, 60)
    return [*falls.tolist(), *jumps.tolist(), *rises.tolist(), *[0.9] * 150]


def effect(spec: ScheduleSpec) -> object:
    schedule = make_schedule(spec, lr=0.8, total_steps=TOTAL, steps_per_epoch=EPOCH)
    planned = schedule(np.arange(TOTAL)).tobytes()
    if not isinstance(schedule, MetricDrivenSchedule):
        return planned
    seen = []
    for value in metrics():
        schedule.observe(value)
        seen.append(schedule(TOTAL))
    return planned, seen, schedule.metric


@cache
def found(kind: str, dialect: str) -> list[Found]:
    cls = SCHEDULES[kind]
    form = {"kind": kind, "dialect": dialect} if hasattr(cls, "DIALECTS") else {"kind": kind}
    own = [cls.EXAMPLE, *MORE.get(kind, [])]
    own += [each for each in cls.VARIANTS.values() if each.get("kind", kind) == kind]
    bases: list[dict[str, Any]] = [{**form, **each} for each in own]
    bases += [{**base, "warmup": WARMUP} for base in bases]
    # The schedules inside of others are moved by themselves.
    search = Search(parse_schedule, effect, skip=frozenset({"schedule", "schedules"}))
    return search.of(bases)


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
    idle = {(kind, each.path) for each in found(kind, dialect) if each.idle}

    assert idle - WITHOUT_EFFECT == set()


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
