"""The two schedules that keep state: a metric moves lr as well as the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import Example, Rate, RunProblem, ScheduleSpec
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.numerics.numbers import Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import RunLength
from optcore.spec.limits import MAX_COUNT

Metric = Literal["test_loss", "test_accuracy", "train_loss"]


class MetricDriven(ScheduleSpec):
    """A schedule whose lr changes when a metric is observed."""

    STATEFUL: ClassVar[bool] = True
    # Observations come when the run evaluates, during a warmup too.
    AFTER: ClassVar[After] = "overlap"

    metric: Metric = "test_loss"
    """What it watches, as every evaluation measures it; train_loss is the mean over the steps
    since the last one."""
    mode: Literal["min", "max"] = Field(
        default_factory=lambda data: "max" if data.get("metric") == "test_accuracy" else "min"
    )
    """Whether less or more of it is better. Left out: max for an accuracy, min for a loss."""
    patience: int = Field(10, ge=0, le=MAX_COUNT)
    """How many observations in a row may go by without a change of lr."""
    cooldown: int = Field(0, ge=0, le=MAX_COUNT)
    """How many observations are skipped after lr was reduced."""
    eps: float = Field(1e-8, ge=0)
    """Changes of lr up to this size are not made."""

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield that the plan of lr is not what the run will do."""
        yield from super().warnings_in(run)
        yield (
            f"schedule: lr depends on {self.metric}, so its plan shows it as if that never changed"
        )

    @abstractmethod
    def state(self, lr: float) -> MetricDrivenLr:
        """Return the lr before the first observation, with the value *lr*."""

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return lambda t: np.full_like(t, lr)  # all that is known before a run


class Plateau(MetricDriven, Dialectal):
    """
    lr is multiplied by *factor* when the metric has stopped improving.

    After each observation, writing bad for the number of observations in a row that did not beat
    the best by *threshold*::

        bad > patience:  lr = max(lr * factor, min_lr),  bad = 0,  and *cooldown* begins

    To beat the best: m < best * (1 - threshold) in mode min and threshold_mode rel, and
    m < best - threshold in abs; in mode max the other way round. While it cools down, torch
    counts no bad observation but remembers the best; Paddle looks at nothing.

    References:
        torch 2.13 ReduceLROnPlateau; Paddle 3.3.1 ReduceOnPlateau.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")
    # No trajectory of mindspore.experimental's ReduceLROnPlateau was recorded to compare with.
    ONLY_DOUBLE: ClassVar[bool] = True
    EXAMPLE: ClassVar[Example] = {"patience": 3, "factor": 0.5}

    kind: Literal["plateau"]
    factor: float = Field(0.1, gt=0, lt=1)
    """What is left of lr after a reduction."""
    threshold: float = Field(1e-4, ge=0)
    """How much better the metric must be to count as better."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """Whether threshold is a part of the best, or absolute."""
    min_lr: Rate = 0.0
    """lr does not fall below this."""
    in_cooldown: Literal["remember", "ignore"] = by_dialect("remember", paddle="ignore")
    """What an observation in the cooldown does to the best."""

    def state(self, lr: float) -> MetricDrivenLr:
        """Return the lr before the first observation."""
        return PlateauLr(self, lr)


class Greedy(MetricDriven):
    """
    Lr is raised while the metric improves and lowered while it does not.

    After each observation, writing good and bad for the numbers of observations in a row that
    beat the best by *threshold* and that did not::

        good > patience:  lr = min(lr / factor, max_lr),  good = 0,  and *rest* begins
        bad  > patience:  lr = max(lr * factor, min_lr),  bad = 0,   and *cooldown* begins

    Observations in a rest or a cooldown change nothing. After *reset_after* reductions in a row
    that left lr at min_lr, everything starts again at the first lr.

    References:
        GreedyLR: A Novel Adaptive Learning Rate Scheduler, 2025.
        https://arxiv.org/abs/2512.14527
        transformers GreedyLR (rest is its warmup, reset_after its reset_start).
    """

    EXAMPLE: ClassVar[Example] = {"patience": 3, "factor": 0.8}

    kind: Literal["greedy"]
    factor: float = Field(0.95, gt=0, lt=1)
    """What lr is multiplied with, or divided by."""
    threshold: float = Field(1e-6, ge=0)
    """How much better the metric must be to count as better."""
    threshold_mode: Literal["rel", "abs"] = "abs"
    """Whether threshold is a part of the best, or absolute."""
    rest: int = Field(0, ge=0, le=MAX_COUNT)
    """How many observations are skipped after lr was raised."""
    # The default of transformers, above what most fine-tuning starts from; an lr below it is never
    # lowered.
    min_lr: Rate = 1e-3
    """lr does not fall below this."""
    max_lr: Rate = 1.0
    """lr does not rise above this."""
    window: int = Field(1, ge=1, le=10_000)
    """Over how many observations the metric is averaged; 1 for none."""
    reset_after: int = Field(500, ge=1, le=MAX_COUNT)
    """Reductions at min_lr before it starts again."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also bounds that cross."""
        yield from super().problems_in(run)
        if self.min_lr > self.max_lr:
            yield RunProblem(
                ("min_lr",),
                f"min_lr must be at most max_lr, got {self.min_lr} and {self.max_lr}",
                self.min_lr,
            )

    def state(self, lr: float) -> MetricDrivenLr:
        """Return the lr before the first observation."""
        return GreedyLr(self, lr)


class MetricDrivenLr(ABC):
    """
    A learning rate that observations of a metric change.

    Attributes:
        spec: the schedule.
        lr: the learning rate until the next observation.
    """

    COUNTERS: tuple[str, ...]
    """Names of the attributes that make up its state besides lr and best: whole numbers."""

    def __init__(self, spec: MetricDriven, lr: float) -> None:
        self.spec = spec
        self.lr = lr
        # Not in the state: a resumed run is made from the same spec and lr.
        self.first_lr = lr
        self.restart()

    def restart(self) -> None:
        """Forget what was observed; lr stays."""
        self.best = math.inf if self.spec.mode == "min" else -math.inf
        for name in self.COUNTERS:
            setattr(self, name, 0)

    @abstractmethod
    def observe(self, value: float) -> None:
        """Observe the next *value* of the metric, which may change lr."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as JSON: what is not finite is a string."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.COUNTERS}
        return {"lr": self.lr, "best": _plain(self.best), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Restore a *state* that `state_dict` returned.

        Raises:
            ValueError: *state* is that of another schedule.
        """
        # Before anything is set, so that the state of another schedule changes nothing.
        expected = set(self.state_dict())
        if set(state) != expected:
            raise ValueError(
                f"state must have {', '.join(sorted(expected))}, got {', '.join(sorted(state))}"
            )
        self.lr, self.best = float(state["lr"]), float(state["best"])
        for name in self.COUNTERS:
            setattr(self, name, int(state[name]))

    def beats_best(self, value: float, threshold: float, mode: str) -> bool:
        """Return whether *value* is better than the best by *threshold*; NaN never is."""
        # In torch's order of operations: the last bit of the bar may decide.
        if self.spec.mode == "min":
            bar = self.best * (1 - threshold) if mode == "rel" else self.best - threshold
            return value < bar
        bar = self.best * (threshold + 1) if mode == "rel" else self.best + threshold
        return value > bar


class PlateauLr(MetricDrivenLr):
    """The lr of a `Plateau`."""

    COUNTERS = ("bad", "cooling")
    spec: Plateau
    bad: int
    cooling: int

    def observe(self, value: float) -> None:
        """Observe the next *value* of the metric; lr falls when too many were no better."""
        spec = self.spec
        if self.cooling and spec.in_cooldown == "ignore":
            self.cooling -= 1
            return
        if self.beats_best(value, spec.threshold, spec.threshold_mode):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        # torch counts no bad observation while it cools down, but keeps a best one seen then.
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > spec.patience:
            # Also where lr is at its minimum and stays, as in torch and Paddle.
            self.cooling, self.bad = spec.cooldown, 0
            lower = max(self.lr * spec.factor, spec.min_lr)
            if self.lr - lower > spec.eps:
                self.lr = lower


class GreedyLr(MetricDrivenLr):
    """The lr of a `Greedy`."""

    COUNTERS = ("good", "bad", "skip", "at_floor")
    spec: Greedy
    good: int
    bad: int
    skip: int
    at_floor: int

    def restart(self) -> None:
        """Forget what was observed; lr stays."""
        super().restart()
        self.recent: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {**super().state_dict(), "recent": [_plain(value) for value in self.recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a *state* that `state_dict` returned."""
        super().load_state_dict(state)
        self.recent = [float(value) for value in state["recent"]]

    def observe(self, value: float) -> None:
        """Observe the next *value* of the metric; lr rises while it improves, else falls."""
        spec = self.spec
        # Also while observations are skipped, as in transformers. Summed anew each time: the
        # running sum of transformers gathers rounding errors, and NaN never leaves it.
        self.recent = [*self.recent, value][-spec.window :]
        value = math.fsum(self.recent) / len(self.recent) if spec.window > 1 else value
        # transformers has a counter for either wait; neither begins before the other is over.
        if self.skip:
            self.skip -= 1
            self.good = self.bad = 0
            return
        if self.beats_best(value, spec.threshold, spec.threshold_mode):
            self.best, self.good, self.bad = value, self.good + 1, 0
        else:
            self.good, self.bad = 0, self.bad + 1
        if self.good > spec.patience:
            self._raise()
        elif self.bad > spec.patience:
            self._lower()

    def _raise(self) -> None:
        higher = min(self.lr / self.spec.factor, self.spec.max_lr)
        if higher - self.lr > self.spec.eps:
            self.lr = higher
        self.at_floor, self.good, self.skip = 0, 0, self.spec.rest

    def _lower(self) -> None:
        lower = max(self.lr * self.spec.factor, self.spec.min_lr)
        if self.lr - lower > self.spec.eps:
            self.lr = lower
        self.bad, self.skip = 0, self.spec.cooldown
        if self.lr <= self.spec.min_lr:
            self.at_floor += 1
            if self.at_floor >= self.spec.reset_after:
                self.lr = self.first_lr
                self.restart()
                # As in transformers, whose cooldown begins also after a restart.
                self.skip = self.spec.cooldown


def _plain(value: float) -> float | str:
    """Return *value* for JSON, which has no NaN and no infinities."""
    if math.isfinite(value):
        return value
    # float() in load_state_dict reads all three.
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
