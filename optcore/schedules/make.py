"""From a schedule's spec to the function it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.build import Run, behind_warmup, curve_of
from optcore.schedules.catalogue import AnySchedule
from optcore.schedules.curves.stateful import Follower, follower
from optcore.schedules.families.stateful import Observing
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.spec.errors import Problem, SpecError, dotted

_parser: TypeAdapter[ScheduleSpec] = TypeAdapter(AnySchedule)


BLOCK = 16_384
"""Steps computed at a time: what is in between stays in the cache."""


class Schedule(Protocol):
    """lr at the update after t updates: a number for a number, an array for an array."""

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...


class Planned:
    """A schedule that only the step decides: a pure function."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...
    def __call__(self, t: Any) -> Any:
        """Return lr at the update after *t* updates."""
        at = np.asarray(t, np.float64)
        if at.ndim == 0:
            return float(self._curve(at.reshape(1))[0])
        lr = np.empty(at.shape, np.float64)
        flat, out = at.reshape(-1), lr.reshape(-1)
        for start in range(0, len(flat), BLOCK):
            out[start : start + BLOCK] = self._curve(flat[start : start + BLOCK])
        return lr


class Followed(Planned):
    """
    A schedule that a metric moves as well as the step: plateau or greedy, behind its warmup.

    Called, it answers for any t with what is known now. Its state belongs into a checkpoint.
    """

    def __init__(self, curve: Curve, moved: Follower) -> None:
        super().__init__(curve)
        self._moved = moved

    @property
    def metric(self) -> str:
        """What it is to be told."""
        return self._moved.spec.metric

    def observe(self, value: float) -> None:
        """Take note of the metric's next *value*."""
        self._moved.observe(value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as JSON."""
        return self._moved.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._moved.load_state_dict(state)


def make_schedule(
    spec: ScheduleSpec | Mapping[str, Any],
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int = 1,
) -> Schedule:
    """
    Return the schedule that *spec* says: a pure function of t, in float64.

    Only plateau and greedy are more: a `Followed`, which is told a metric with ``observe``.

    Args:
        spec: as in a job: ``{"kind": "cosine", "warmup": {"length": 100}}``.
        lr: what the schedule starts from; positive. The same functions do for momentum, a beta or
            a weight decay: give that.
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
    run = Run(lr, total_steps, steps_per_epoch)
    if not isinstance(parsed, Observing):
        return Planned(_built(parsed, run))
    moved = follower(parsed, lr)
    lr_now: Curve = lambda t: np.full_like(t, moved.lr)  # noqa: E731
    return Followed(behind_warmup(lr_now, parsed, run), moved)


def _built(spec: ScheduleSpec, run: Run) -> Curve:
    try:
        with np.errstate(all="ignore"):  # what comes of it is checked where it is planned
            return curve_of(spec, run)
    except ArithmeticError as error:
        text = f"kind {spec.kind} must give finite numbers, got {error} from {run.lr:g}"
        raise SpecError([Problem("kind", text)]) from None


def _parse(spec: ScheduleSpec | Mapping[str, Any]) -> ScheduleSpec:
    try:
        return _parser.validate_python(spec)
    except ValidationError as error:
        raise SpecError.of(error, spec) from None


__all__ = ["Array", "Followed", "Planned", "Schedule", "make_schedule"]
