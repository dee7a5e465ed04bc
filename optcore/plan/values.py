"""Check before a run that schedules give no value that their hyperparameter does not allow."""

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
from optcore.spec.weights import ShadowEma

MAX_SAMPLED = 1_000_000
"""Largest number of steps checked for one run, over all its schedules; longer runs are sampled."""
MAX_COMPUTED = 5_000_000
"""Largest number of values computed for the checked steps of one run; a schedule that contains
several schedules computes more than one value per step."""
CACHE_SIZE = 256
"""Number of successful checks that are remembered, since many jobs have the same schedule, and the
check of a schedule over a million steps or more takes 0.2 s."""
MAX_CACHED_ENTRIES = 100
"""Largest number of list entries in a schedule whose check is remembered, since the schedule stays
in memory."""


def check_values(spec: RunSpec) -> None:
    """
    Check the values of all schedules in *spec* against the limits of their hyperparameters.

    Every value must be finite. With a precision other than fp64, every value must also be at most
    the largest float32. A scheduled lr has no other limit, and may be 0.

    Raises:
        SpecError: a value is not finite or not within the limits. The message names the schedule,
            the limit, the value and the step.
    """
    # Groups with the same schedule for the same hyperparameter and first value are checked once.
    checks: dict[tuple[str, str, float, float], Scheduled] = {}
    texts: dict[int, str] = {}
    for scheduled, value, factor in _with_factors(spec):
        # A text takes 3 us, and most schedules come several times.
        known = id(scheduled.schedule)
        text = texts.get(known) or texts.setdefault(known, _text(scheduled.schedule))
        checks[text, scheduled.name, value, factor] = scheduled
    for (text, _, value, factor), scheduled in checks.items():
        cost = scheduled.schedule.cost(spec.length)
        # cost is for all steps, so one step costs cost / total_steps values.
        affordable = min(MAX_SAMPLED, spec.total_steps * MAX_COMPUTED // cost)
        check = _Check(
            text=text,
            name=scheduled.name,
            value=value,
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


def _with_factors(spec: RunSpec) -> Iterator[tuple[Scheduled, float, float]]:
    """
    Yield (scheduled hyperparameter, first value, factor) for each schedule.

    The factor multiplies the values of the schedule, as the lr_scale of a group does.
    """
    groups = spec.optimizer.groups
    for scheduled in spec.scheduled():
        match scheduled.path:
            case ("optimizer", "groups", int(i), *_) if scheduled.name == "lr":
                yield scheduled, scheduled.value, groups[i].lr_scale
            case _:
                yield scheduled, scheduled.value, 1.0
    # The run's schedule applies to the lr of every group without a schedule of its own. Of those
    # groups, the ones with the highest factor and the highest product have the highest lr.
    followers = [
        (group.lr_scale, group.spec.hyperparameters()["lr"], group.spec)
        for group in spec.groups()
        if group.schedule is None
    ]
    if followers:
        by_factor = max(followers, key=lambda follower: follower[0])
        by_product = max(followers, key=lambda follower: follower[0] * follower[1])
        for factor, lr, own in (by_factor, by_product):
            yield Scheduled(("schedule",), "lr", spec.schedule, own), lr, factor


def _text(schedule: ScheduleSpec) -> str:
    """
    Return a key under which the result of checking *schedule* is remembered.

    Equal schedules have equal keys, except for schedules with long lists.
    """
    short = schedule.num_entries() <= MAX_CACHED_ENTRIES
    # The id stays unique: the run holds the schedule for as long as this text is a key.
    return str(schedule) if short else f"<{id(schedule)}>"


@dataclass(frozen=True)
class _Check:
    """
    The arguments of a check. Checks with equal arguments have equal results.

    In a comparison of checks, *text* stands for *schedule*.
    """

    text: str
    name: str
    value: float
    factor: float
    whose: type[OptimizerSpec | ShadowEma]
    param: str
    run: RunLength
    num_sampled: int
    largest: float
    # It may hold lists, which have no hash.
    schedule: ScheduleSpec = field(compare=False)


def _perform(check: _Check) -> None:
    schedule = make_schedule(
        check.schedule,
        lr=check.value,
        total_steps=check.run.total_steps,
        steps_per_epoch=check.run.steps_per_epoch,
    )
    check_scheduled(
        schedule,
        check.name,
        check.whose,
        sampled(check.run.total_steps, check.num_sampled),
        check.param,
        factor=check.factor,
        largest=check.largest,
    )


# Exceptions are not cached: a refused schedule is computed again at the next request.
_perform_once = lru_cache(maxsize=CACHE_SIZE)(_perform)


def check_scheduled(
    schedule: Schedule,
    name: str,
    whose: type[OptimizerSpec | ShadowEma],
    steps: NDArray[np.int64],
    param: str,
    *,
    factor: float = 1.0,
    largest: float = math.inf,
) -> None:
    """
    Check the values of *schedule* at *steps* against the limits of the hyperparameter *name*.

    Args:
        schedule: schedule of the hyperparameter.
        name: name of the hyperparameter.
        whose: class of the optimizer, or of the average, that has the hyperparameter.
        steps: steps to check.
        param: path of the schedule in the spec, for the error message.
        factor: number by which the values are multiplied, such as a group's lr_scale.
        largest: largest value allowed.

    Raises:
        SpecError: a value is not finite or not within the limits. The message names the schedule,
            the limit, the value and the step.
    """
    with np.errstate(all="ignore"):
        values = schedule(steps) * factor
    require_finite(values, steps, param)
    _check_limit(name, Le(largest), values, steps, param)
    if name == "lr":
        return
    # A decay that reaches 1 stops the average; a decay of 1 throughout would be no average.
    field = whose.model_fields[name].metadata
    for limit in [Ge(0), Le(1)] if issubclass(whose, ShadowEma) else field:
        _check_limit(name, limit, values, steps, param)


def _check_limit(
    name: str, limit: object, values: NDArray[np.float64], steps: NDArray[np.int64], param: str
) -> None:
    edge: Any  # a limit may have any type that can be compared; here it is a number
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
