"""Check, before a run, that its schedules give numbers that its optimizer accepts."""

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
from optcore.spec.duration import RunLength
from optcore.spec.errors import Problem, SpecError, dotted
from optcore.spec.limits import MAX_FLOAT32
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.run import RunSpec, Scheduled

MAX_SAMPLED = 1_000_000
"""Steps checked for one run, those of all its schedules together; longer runs are sampled."""
MAX_COMPUTED = 5_000_000
"""Values computed for them; a schedule made of several has more than one value a step."""
CACHE_SIZE = 256
"""Checks whose success is remembered: many jobs have the same schedule, and to check one of a
million steps or more takes 0.2 s."""
MAX_CACHED_ENTRIES = 100
"""Entries in the lists of a schedule in the cache; a list of a million would stay in memory."""


def check_values(spec: RunSpec) -> None:
    """
    Refuse schedules of *spec* that give no number, or one beyond its hyperparameter's limits.

    Lr has no limit here but that of float32: a schedule may take it to 0.

    Raises:
        SpecError: with the schedule, the rule, the value and the step.
    """
    # Groups that have the same schedule of the same number are checked once.
    checks = {(_text(s.schedule), s.name, s.value, f): (s, f) for s, f in _with_factors(spec)}
    for (text, *_), (scheduled, factor) in checks.items():
        cost = scheduled.schedule.cost(spec.length)
        # cost is that of all steps, so a step costs cost / total_steps values.
        affordable = min(MAX_SAMPLED, spec.total_steps * MAX_COMPUTED // cost)
        check = _Check(
            text=text,
            name=scheduled.name,
            value=scheduled.value,
            factor=factor,
            whose=type(scheduled.spec),
            param=dotted(scheduled.path),
            run=spec.length,
            num_sampled=affordable // len(checks),
            largest=math.inf if spec.training.precision == "fp64" else MAX_FLOAT32,
            schedule=scheduled.schedule,
        )
        if scheduled.schedule.num_entries() <= MAX_CACHED_ENTRIES:
            _perform_once(check)
        else:
            _perform(check)


def _with_factors(spec: RunSpec) -> Iterator[tuple[Scheduled, float]]:
    """Yield what has a schedule, and what the values of that are multiplied by."""
    groups = spec.optimizer.groups
    for scheduled in spec.scheduled():
        match scheduled.path:
            case ("optimizer", "groups", int(i), *_) if scheduled.name == "lr":
                yield scheduled, groups[i].lr_scale
            case _:
                yield scheduled, 1.0
    # The run's schedule moves the lr of every group without one of its own. Of those, the groups
    # with the highest factor and the highest product have the highest lr.
    followers = [g for g in spec.groups() if g.schedule is None]
    for height in (lambda g: g.lr_scale, lambda g: g.lr_scale * g.spec.hyperparameters()["lr"]):
        if followers:
            highest = max(followers, key=height)
            yield Scheduled(("schedule",), "lr", spec.schedule, highest.spec), highest.lr_scale


def _text(schedule: ScheduleSpec) -> str:
    """Return a text that equal schedules share; one with a long list has a text of its own."""
    short = schedule.num_entries() <= MAX_CACHED_ENTRIES
    # The id stays unique: the run has the schedule for as long as this text is a key.
    return str(schedule) if short else f"<{id(schedule)}>"


@dataclass(frozen=True)
class _Check:
    """Everything that the outcome depends on; the schedule is compared by its text."""

    text: str
    name: str
    value: float
    factor: float
    whose: type[OptimizerSpec]
    param: str
    run: RunLength
    num_sampled: int
    largest: float
    # It may hold lists, which have no hash.
    schedule: ScheduleSpec = field(compare=False)


def _perform(check: _Check) -> None:
    schedule = make_schedule(check.schedule, lr=check.value, **check.run._asdict())
    check_scheduled(
        schedule,
        check.name,
        check.whose,
        sampled(check.run.total_steps, check.num_sampled),
        check.param,
        factor=check.factor,
        largest=check.largest,
    )


# Exceptions are not cached: a schedule that is refused is computed again each time.
_perform_once = lru_cache(maxsize=CACHE_SIZE)(_perform)


def check_scheduled(
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
    Refuse a *schedule* whose value at one of *steps* the hyperparameter *name* may not have.

    Args:
        schedule: of a hyperparameter.
        name: of the hyperparameter.
        whose: the optimizer that has it.
        steps: to check.
        param: where the schedule is written.
        factor: what the values are multiplied by (a group's lr_scale).
        largest: the largest number that the parameters can hold.

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
