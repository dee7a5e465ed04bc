"""Make a schedule, which is a function of t, from its spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.catalogue import AnySchedule
from optcore.schedules.families.stateful import MetricDriven, MetricDrivenLr
from optcore.schedules.numerics.numbers import Curve
from optcore.spec.duration import RunLength
from optcore.spec.errors import Problem, SpecError, dotted

_parser: TypeAdapter[ScheduleSpec] = TypeAdapter(AnySchedule)

# 128 KiB of float64: several arrays of this size fit into a second-level cache.
BLOCK = 16_384
"""The number of steps computed at a time, so that intermediate values stay in the cache."""


class Schedule(Protocol):
    """A function from t, the number of updates applied, to the lr of the next update."""

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...


class PlannedSchedule:
    """A schedule whose lr depends only on t: a pure function."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...
    def __call__(self, t: Any) -> Any:
        """Return the lr of the update after *t* updates; an array of t gives an array of lr."""
        # Curves rely on floats: np.full_like of an array of integers would truncate lr.
        at = np.asarray(t, np.float64)
        if at.ndim == 0:
            # Computed as an array is, so that a number and an array give the same bits.
            return float(self._curve(at.reshape(1))[0])
        lr = np.empty(at.shape, np.float64)
        # lr is contiguous, so that out is a view of it.
        flat, out = at.reshape(-1), lr.reshape(-1)
        for start in range(0, len(flat), BLOCK):
            out[start : start + BLOCK] = self._curve(flat[start : start + BLOCK])
        return lr


class MetricDrivenSchedule(PlannedSchedule):
    """
    A schedule whose lr depends on a metric as well as on the step: plateau or greedy.

    A call returns the lr that follows from t and the metric values observed so far. A checkpoint
    must contain the state of the schedule.
    """

    def __init__(self, curve: Curve, state: MetricDrivenLr) -> None:
        super().__init__(curve)
        self._state = state

    @property
    def metric(self) -> str:
        """The name of the metric that the schedule observes."""
        return self._state.spec.metric

    def observe(self, value: float) -> None:
        """Record the next *value* of the metric, which may change lr."""
        self._state.observe(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, as values that JSON can represent."""
        return self._state.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a *state* that `state_dict` has returned."""
        self._state.load_state_dict(state)


def make_schedule(
    spec: ScheduleSpec | Mapping[str, Any],
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int = 1,
) -> Schedule:
    """
    Return the schedule that *spec* describes: a pure function of t, in float64.

    For plateau and greedy, return a `MetricDrivenSchedule`, whose lr also depends on the values of
    a metric that are passed to ``observe``.

    Args:
        spec: the schedule as in a job: ``{"kind": "cosine", "warmup": {"length": 100}}``.
        lr: the learning rate of the optimizer, positive. To schedule momentum, a beta or weight
            decay, give the value of that hyperparameter.
        total_steps: the length of the run in steps; a duration that is left out is the whole run.
        steps_per_epoch: the number of steps in an epoch, for durations in epochs.

    Raises:
        SpecError: The spec is invalid, or a value does not fit the length of the run.

    Examples:
        >>> schedule = make_schedule({"kind": "cosine"}, lr=0.1, total_steps=4)
        >>> schedule(2)
        0.05
        >>> schedule([0, 4])
        array([0.1, 0. ])
    """
    parsed = parse_schedule(spec)
    run = RunLength(total_steps, steps_per_epoch)
    if problems := list(parsed.problems_in(run)):
        raise SpecError([Problem(dotted(p.path), p.message) for p in problems])
    if not isinstance(parsed, MetricDriven):
        return PlannedSchedule(_curve(parsed, lr, run))
    state = parsed.state(lr, run)
    # Not parsed.curve(): that is the planned curve, in which no metric changes lr.
    return MetricDrivenSchedule(parsed.following(state, run), state)


def _curve(spec: ScheduleSpec, lr: float, run: RunLength) -> Curve:
    try:
        # optcore.plan reports values that are not finite, with their step.
        with np.errstate(all="ignore"):
            # Making a curve also computes values: the peak of its warmup, products of factors.
            return spec.curve(lr, run)
    # Where numpy's floats become inf or NaN, Python's floats raise: when dividing by an lr of 0.
    except ArithmeticError as error:
        text = (
            f"kind {spec.kind} must give finite numbers, got {error} with a start value of {lr:g}"
        )
        raise SpecError([Problem("kind", text)]) from None


def parse_schedule(spec: ScheduleSpec | Mapping[str, Any]) -> ScheduleSpec:
    """Return *spec* as a validated spec; raise `SpecError` if *spec* is invalid."""
    # Not parsed again: an earlier release with fewer rules may have accepted the job.
    if isinstance(spec, ScheduleSpec):
        return spec
    try:
        return _parser.validate_python(spec)
    except ValidationError as error:
        raise SpecError.of(error, spec) from None
