"""Make a schedule: from its spec to a function of t."""

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

# 128 KiB of float64 each: several of them fit into a second-level cache.
BLOCK = 16_384
"""Steps computed at a time, so that intermediate values stay in the cache."""


class Schedule(Protocol):
    """lr at the update after t updates: a number for a number, an array for an array."""

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...


class PlannedSchedule:
    """A schedule that depends on the step alone: a pure function of t."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...
    def __call__(self, t: Any) -> Any:
        """Return lr at the update after *t* updates."""
        # Curves rely on floats: np.full_like of whole numbers would truncate lr.
        at = np.asarray(t, np.float64)
        if at.ndim == 0:
            # The same path as an array's, so that both give the same bits.
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

    Called for any t, it returns the lr that follows from the observations so far. Its state belongs
    in a checkpoint.
    """

    def __init__(self, curve: Curve, state: MetricDrivenLr) -> None:
        super().__init__(curve)
        self._state = state

    @property
    def metric(self) -> str:
        """The metric that it observes."""
        return self._state.spec.metric

    def observe(self, value: float) -> None:
        """Observe the next *value* of the metric."""
        self._state.observe(value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as JSON."""
        return self._state.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a *state* that `state_dict` returned."""
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

    For plateau and greedy it is a `MetricDrivenSchedule`, which also takes a metric (``observe``).

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
    parsed = parse_schedule(spec)
    run = RunLength(total_steps, steps_per_epoch)
    if problems := list(parsed.problems_in(run)):
        raise SpecError([Problem(dotted(p.path), p.message) for p in problems])
    if not isinstance(parsed, MetricDriven):
        return PlannedSchedule(_curve(parsed, lr, run))
    state = parsed.state(lr)
    # Not parsed.curve(): its formula is the plan, in which no metric changes lr.
    lr_now: Curve = lambda t: np.full_like(t, state.lr)  # noqa: E731
    return MetricDrivenSchedule(parsed.behind_warmup(lr_now, run), state)


def _curve(spec: ScheduleSpec, lr: float, run: RunLength) -> Curve:
    try:
        # Numbers that are not finite are reported where lr is planned, with the step.
        with np.errstate(all="ignore"):
            # To make a curve computes values, too: the peak of its warmup, products of factors.
            return spec.curve(lr, run)
    # Python's floats raise where numpy's become inf or NaN: where lr is 0 and divided by.
    except ArithmeticError as error:
        text = f"kind {spec.kind} must give finite numbers, got {error} from {lr:g}"
        raise SpecError([Problem("kind", text)]) from None


def parse_schedule(spec: ScheduleSpec | Mapping[str, Any]) -> ScheduleSpec:
    """Return *spec* as a spec, or raise `SpecError`."""
    # Not parsed again: the job may have been accepted with fewer rules than those of today.
    if isinstance(spec, ScheduleSpec):
        return spec
    try:
        return _parser.validate_python(spec)
    except ValidationError as error:
        raise SpecError.of(error, spec) from None
