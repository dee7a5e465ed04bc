"""Schedules with state: lr depends on a metric and the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.numerics.numbers import DOUBLE, Curve, Numbers
from optcore.schedules.warmup import After
from optcore.spec.duration import RunLength
from optcore.spec.evaluation import TRAIN_LOSS, MetricName, ObservedMetric, default_metric
from optcore.spec.limits import MAX_COUNT


class MetricDriven(ScheduleSpec):
    """Base class for schedules that change lr when a value of a metric is observed."""

    STATEFUL: ClassVar[bool] = True
    # Values are observed at every evaluation of the run, even during a warmup.
    AFTER: ClassVar[After] = "overlap"

    metric: ObservedMetric = Field(default_factory=default_metric)
    """The metric that changes lr, observed at every evaluation. It is a metric of the validation
    examples, such as val_loss (the default) or ema_val_accuracy, or train_loss, the mean training
    loss over the steps since the previous evaluation."""
    mode: Literal["min", "max"] = Field(default_factory=lambda data: _mode(data.get("metric")))
    """Whether lower (min) or higher (max) values are better. The default depends on the metric: min
    for a loss, max for an accuracy."""
    patience: int = Field(10, ge=0, le=MAX_COUNT)
    """How many observations in a row may show no improvement; one more lowers lr. The schedule
    greedy also raises lr after more than this many improvements in a row."""
    cooldown: int = Field(0, ge=0, le=MAX_COUNT)
    """The length of the cooldown after a reduction of lr, in observations."""
    eps: float = Field(1e-8, ge=0)
    """Changes of lr that are not larger than this are not made."""

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning that the lr of the run may differ from the planned lr."""
        yield from super().warnings_in(run)
        yield (
            f"schedule: lr depends on {self.metric}; the planned lr leaves out the changes by that "
            "metric"
        )

    @abstractmethod
    def state(self, lr: float, run: RunLength) -> MetricDrivenLr:
        """Return the state before the first observation, when the learning rate is *lr*."""

    def following(self, state: MetricDrivenLr, run: RunLength) -> Curve:
        """Return the schedule, with its warmup, as a function of t that reads lr from *state*."""
        return self.behind_warmup(lambda t: np.full_like(t, state.lr), run)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return lambda t: np.full_like(t, lr)  # the planned lr, before any observation


def _mode(metric: str | None) -> Literal["min", "max"]:
    if metric is None or metric == TRAIN_LOSS:
        return "min"
    return "max" if MetricName.of(metric).higher_is_better else "min"


class MetricDrivenLr(ABC):
    """
    The state of a metric-driven schedule: the learning rate, and the record of observations.

    Attributes:
        spec: the schedule whose state this is.
        lr: the learning rate until the next observation.
    """

    COUNTERS: tuple[str, ...]
    """The names of the integer attributes in the state, in addition to lr and best."""

    def __init__(self, spec: MetricDriven, lr: float) -> None:
        self.spec = spec
        self.lr = lr
        # Not in state_dict: a resumed run starts with the same spec and lr.
        self.first_lr = lr
        self.restart()

    def restart(self) -> None:
        """Forget all observations; lr does not change."""
        self.best = math.inf if self.spec.mode == "min" else -math.inf
        for name in self.COUNTERS:
            setattr(self, name, 0)

    @property
    def numbers(self) -> Numbers:
        """
        The precision in which observations are compared.

        This is float64. In dialect optax, it is the precision in which lr is computed.
        """
        return self.spec.numbers if getattr(self.spec, "dialect", "") == "optax" else DOUBLE

    @abstractmethod
    def observe(self, value: float) -> None:
        """Record the next *value* of the metric, which may change lr."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs; NaN and infinities are strings, for JSON."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.COUNTERS}
        return {"lr": self.lr, "best": plain(self.best), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Restore a *state* that `state_dict` has returned.

        Raises:
            ValueError: *state* belongs to another kind of schedule.
        """
        # Checked before anything is set, so that a state that does not fit changes nothing.
        expected = set(self.state_dict())
        if set(state) != expected:
            raise ValueError(
                f"state must have the keys {', '.join(sorted(expected))}, got "
                f"{', '.join(sorted(state))}"
            )
        self.lr, self.best = float(state["lr"]), float(state["best"])
        for name in self.COUNTERS:
            setattr(self, name, int(state[name]))

    def beats_best(
        self, value: float, threshold: float, threshold_mode: str, threshold_abs: float = 0.0
    ) -> bool:
        """
        Return whether *value* is better than the best value so far; False for NaN.

        Lower values are better if the field `mode` of the schedule is min, higher values if it is
        max.

        Args:
            value: the observation.
            threshold: how much better than the best value *value* must be.
            threshold_mode: whether *threshold* is relative to the best value (rel) or absolute
                (abs).
            threshold_abs: an absolute difference that is added to *threshold*.
        """
        number = self.numbers
        best, up = number(self.best), self.spec.mode == "max"
        # In torch's order of operations: the last bit of the limit may decide. Before the first
        # observation, the best value is infinite.
        with np.errstate(invalid="ignore"):
            if threshold_mode == "rel":
                bar = best * number(1 + threshold if up else 1 - threshold)
            else:
                bar = best + number(threshold) if up else best - number(threshold)
            bar = bar + number(threshold_abs) if up else bar - number(threshold_abs)
        return bool(value > bar if up else value < bar)


def plain(value: float) -> float | str:
    """Return *value* as JSON can represent it: NaN and infinities become strings."""
    if math.isfinite(value):
        return value
    # float() in load_state_dict reads all three strings.
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
