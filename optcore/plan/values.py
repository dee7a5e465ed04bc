"""Whether the schedules of a run give numbers that its optimizer takes, before it runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from optcore.plan.sampling import require_finite, sampled
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.make import Schedule, make_schedule
from optcore.spec.errors import Problem, SpecError, dotted
from optcore.spec.limits import MAX_FLOAT32
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.run import RunSpec, Scheduled

LOOKED_AT = 1_000_000
"""Steps looked at for one run, those of all its schedules together; longer runs are sampled."""
MOST_VALUES = 5_000_000
"""Values computed for that: a schedule that is made of many has several a step."""
LOOKS_KEPT = 256
"""Schedules that were right, of which that is remembered: many jobs have the same one."""
LONGEST_KEPT = 100
"""Entries that such a schedule's lists have, at most: one of a million values is forgotten."""


def check_values(spec: RunSpec) -> None:
    """
    Refuse schedules of *spec* that give no number, or one beyond its hyperparameter's limits.

    Lr has no limits here but that of float32: a schedule may take it to 0.

    Raises:
        SpecError: with the schedule, the rule, the value and the step.
    """
    moved = {(_text(m.schedule), m.name, m.value, f): (m, f) for m, f in _moved(spec)}
    for (text, *_), (one, factor) in moved.items():
        cost = one.schedule.cost(spec.length)
        most = min(LOOKED_AT, spec.total_steps * MOST_VALUES // cost)
        look = _Look(
            text=text,
            name=one.name,
            value=one.value,
            factor=factor,
            whose=type(one.spec),
            param=dotted(one.path),
            total_steps=spec.total_steps,
            steps_per_epoch=spec.steps_per_epoch,
            most=most // len(moved),
            largest=math.inf if spec.training.precision == "fp64" else MAX_FLOAT32,
            schedule=one.schedule,
        )
        if one.schedule.num_entries() <= LONGEST_KEPT:
            _check_once(look)
        else:
            _check(look)


def _moved(spec: RunSpec) -> Iterator[tuple[Scheduled, float]]:
    """Yield what moves, and what its values are multiplied by."""
    groups = spec.optimizer.groups
    for moved in spec.scheduled():
        match moved.path:
            case ("optimizer", "groups", int(i), *_) if moved.name == "lr":
                yield moved, groups[i].lr_scale
            case _:
                yield moved, 1.0
    # The run's schedule moves the lr of every group that has no other: of those the highest.
    followers = [g for g in spec.groups() if g.schedule is None and "lr" not in g.spec.schedules]
    for height in (lambda g: g.lr_scale, lambda g: g.lr_scale * g.spec.hyperparameters()["lr"]):
        if followers:
            highest = max(followers, key=height)
            yield Scheduled(("schedule",), "lr", spec.schedule, highest.spec), highest.lr_scale


def _text(schedule: ScheduleSpec) -> str:
    """Return what equal schedules have in common; of one with a long list, something of its own."""
    return str(schedule) if schedule.num_entries() <= LONGEST_KEPT else f"<{id(schedule)}>"


@dataclass(frozen=True)
class _Look:
    """All that tells whether a schedule is right; its text stands for it."""

    text: str
    name: str
    value: float
    factor: float
    whose: type[OptimizerSpec]
    param: str
    total_steps: int
    steps_per_epoch: int
    most: int
    largest: float
    schedule: ScheduleSpec = field(compare=False)


def _check(look: _Look) -> None:
    schedule = make_schedule(
        look.schedule,
        lr=look.value,
        total_steps=look.total_steps,
        steps_per_epoch=look.steps_per_epoch,
    )
    steps = sampled(look.total_steps, look.most)
    check_moved(
        schedule,
        look.name,
        look.whose,
        steps,
        look.param,
        factor=look.factor,
        largest=look.largest,
    )


_check_once = lru_cache(maxsize=LOOKS_KEPT)(_check)


def check_moved(
    schedule: Schedule,
    name: str,
    whose: type[OptimizerSpec],
    steps: NDArray[np.int64],
    param: str,
    *,
    factor: float = 1.0,
    largest: float = math.inf,
) -> None:
    """
    Refuse a *schedule* that gives, at one of *steps*, what the hyperparameter *name* cannot be.

    Args:
        schedule: of a hyperparameter.
        name: of the hyperparameter.
        whose: the optimizer that has it.
        steps: where to look.
        param: where the schedule is written.
        factor: what the values are multiplied by (a group's lr_scale).
        largest: number that the parameters can hold.

    Raises:
        SpecError: with the schedule, the rule, the value and the step.
    """
    with np.errstate(all="ignore"):
        values = schedule(steps) * factor
    require_finite(values, steps, param)
    _check_limit(name, Le(largest), values, steps, param)
    if name == "lr":
        return
    for limit in whose.model_fields[name].metadata:
        _check_limit(name, limit, values, steps, param)


def _check_limit(
    name: str, limit: object, values: NDArray[np.float64], steps: NDArray[np.int64], param: str
) -> None:
    edge: Any  # pydantic's: a number here
    if isinstance(limit, Ge):
        edge = limit.ge
        rule, wrong = "at least", values < edge
    elif isinstance(limit, Le):
        edge = limit.le
        rule, wrong = "at most", values > edge
    elif isinstance(limit, Gt):
        edge = limit.gt
        rule, wrong = "above", values <= edge
    elif isinstance(limit, Lt):
        edge = limit.lt
        rule, wrong = "below", values >= edge
    else:
        return
    if wrong.any():
        at = int(np.argmax(wrong))
        text = f"{name} must be {rule} {edge} at every step, got {values[at]} at step {steps[at]}"
        raise SpecError([Problem(param, text)])
