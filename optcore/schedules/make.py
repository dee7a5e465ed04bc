"""From a schedule's spec to the function it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike
from pydantic import TypeAdapter, ValidationError

from optcore.schedules import curves
from optcore.schedules.curves import Array, Curve
from optcore.schedules.warmup import warmup
from optcore.spec.duration import Epochs, steps_in
from optcore.spec.errors import Problem, SpecError, dotted, problems
from optcore.spec.schedules import (
    AnySchedule,
    Constant,
    Cosine,
    Linear,
    Piecewise,
    ScheduleSpec,
    Step,
)

_parser: TypeAdapter[ScheduleSpec] = TypeAdapter(AnySchedule)


class Schedule(Protocol):
    """lr at the update after t updates: a number for a number, an array for an array."""

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> Array: ...


def make_schedule(
    spec: ScheduleSpec | Mapping[str, Any],
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int = 1,
) -> Schedule:
    """
    Return the schedule that *spec* says: a pure function of t, in float64.

    Args:
        spec: as in a job: ``{"kind": "cosine", "warmup": {"length": 100}}``.
        lr: the learning rate that the schedule starts from; positive.
        total_steps: length of the run in steps; durations left out mean all of it.
        steps_per_epoch: what a duration in epochs is multiplied by.

    Raises:
        SpecError: the spec is wrong, or a duration does not fit the run.

    Examples:
        >>> schedule = make_schedule({"kind": "cosine"}, lr=0.1, total_steps=4)
        >>> schedule(2)
        0.05
        >>> schedule([0, 4])
        array([0.1, 0. ])
    """
    parsed = _parse(spec)
    sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    if misfits := list(parsed.misfits(**sizes)):
        raise SpecError([Problem(dotted(m.path), m.message) for m in misfits])
    curve = _curve(parsed, lr, **sizes)
    if parsed.warmup is not None:
        curve = warmup(
            curve,
            length=steps_in(parsed.warmup.length, steps_per_epoch),
            start=parsed.warmup.start,
            after=parsed.warmup.after or parsed.AFTER,
            total_steps=total_steps,
        )
    return _for_numbers_and_arrays(curve)


def _parse(spec: ScheduleSpec | Mapping[str, Any]) -> ScheduleSpec:
    try:
        return _parser.validate_python(spec)
    except ValidationError as error:
        raise SpecError(problems(error.errors(include_url=False), spec)) from None


def _curve(spec: ScheduleSpec, lr: float, *, total_steps: int, steps_per_epoch: int) -> Curve:
    def steps(duration: int | Epochs | None) -> int:
        return total_steps if duration is None else max(1, steps_in(duration, steps_per_epoch))

    match spec:
        case Constant():
            return curves.constant(lr=lr)
        case Cosine():
            return curves.cosine(lr=lr, length=steps(spec.length), end=spec.end)
        case Linear():
            return curves.linear(lr=lr, length=steps(spec.length), end=spec.end)
        case Step():
            return curves.step(lr=lr, every=steps(spec.every), gamma=spec.gamma)
        case Piecewise():
            edges = [steps(boundary) for boundary in spec.boundaries]
            return curves.piecewise(boundaries=edges, values=spec.values)
        case _:
            raise AssertionError(spec)


def _for_numbers_and_arrays(curve: Curve) -> Schedule:
    def schedule(t: Any) -> Any:  # noqa: ANN401
        at = np.asarray(t, np.float64)
        lr = curve(np.atleast_1d(at))
        return float(lr[0]) if at.ndim == 0 else lr

    return schedule
