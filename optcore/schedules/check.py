"""Whether the schedules of a run give numbers that its optimizer takes, before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from optcore.schedules.make import Schedule, make_schedule
from optcore.schedules.plan import require_finite
from optcore.spec.errors import Problem, SpecError, dotted
from optcore.spec.optimizers import OptimizerSpec
from optcore.spec.run import Moved, RunSpec
from optcore.spec.schedules import ScheduleSpec

LOOKED_AT = 1_000_000
"""Values computed for one run, those of all its schedules together; longer runs are sampled."""
LOOKS_KEPT = 256
"""Schedules that were right, of which that is remembered: many jobs have the same one."""
LONGEST_KEPT = 2000
"""Characters of such a schedule: a list of a million values is forgotten."""
EDGE = 1000
"""Steps at either end that are never left out."""


def check_values(spec: RunSpec) -> None:
    """
    Refuse schedules of *spec* that give no number, or one beyond its hyperparameter's limits.

    Lr has no limits here: a schedule may take it to 0.

    Raises:
        SpecError: with the schedule, the rule, the value and the step.
    """
    moved = {(str(m.schedule), m.name, m.value): m for m in spec.moved() if not _is_flat(m)}
    for (text, _, _), one in moved.items():
        look = _Look(
            text=text,
            name=one.name,
            value=one.value,
            whose=type(one.spec),
            param=dotted(one.path),
            total_steps=spec.total_steps,
            steps_per_epoch=spec.steps_per_epoch,
            most=LOOKED_AT // len(moved),
            schedule=one.schedule,
        )
        if len(text) <= LONGEST_KEPT:
            _check_once(look)
        else:
            _check(look)


def _is_flat(moved: Moved) -> bool:
    return moved.schedule.kind == "constant" and moved.path == ("schedule",)


@dataclass(frozen=True)
class _Look:
    """All that tells whether a schedule is right; its text stands for it."""

    text: str
    name: str
    value: float
    whose: type[OptimizerSpec]
    param: str
    total_steps: int
    steps_per_epoch: int
    most: int
    schedule: ScheduleSpec = field(compare=False)


def _check(look: _Look) -> None:
    schedule = make_schedule(
        look.schedule,
        lr=look.value,
        total_steps=look.total_steps,
        steps_per_epoch=look.steps_per_epoch,
    )
    steps = sampled(look.total_steps, look.most)
    check_moved(schedule, look.name, look.whose, steps, look.param)


_check_once = lru_cache(maxsize=LOOKS_KEPT)(_check)


def check_moved(
    schedule: Schedule,
    name: str,
    whose: type[OptimizerSpec],
    steps: NDArray[np.int64],
    param: str,
    *,
    factor: float = 1.0,
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

    Raises:
        SpecError: with the schedule, the rule, the value and the step.
    """
    with np.errstate(all="ignore"):
        values = schedule(steps) * factor
    require_finite(values, steps, param)
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


def sampled(total_steps: int, most: int) -> NDArray[np.int64]:
    """Return every step, or about *most* of them: both ends whole, the others evenly apart."""
    if total_steps <= max(most, 2 * EDGE):
        return np.arange(total_steps)
    between = np.linspace(0, total_steps - 1, max(most, EDGE)).astype(np.int64)
    ends = [np.arange(EDGE), np.arange(total_steps - EDGE, total_steps)]
    return np.unique(np.concatenate([*ends, between]))
