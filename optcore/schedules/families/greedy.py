"""Greedy: lr is raised while a metric improves and lowered while the metric does not improve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from optcore.schedules.base import Example, Rate, RunProblem
from optcore.schedules.families.stateful import MetricDriven, MetricDrivenLr, plain
from optcore.spec.duration import RunLength
from optcore.spec.limits import MAX_COUNT


class Greedy(MetricDriven):
    """
    lr is raised while the metric improves and lowered while the metric does not improve.

    good is the number of observations in a row that were better than the best value by *threshold*.
    bad is the number of observations in a row that were not. After each observation::

        good > patience:  lr = min(lr / factor, max_lr),  good = 0,  and a rest begins
        bad  > patience:  lr = max(lr * factor, min_lr),  bad = 0,   and a cooldown begins

    A rest takes *rest* observations, and a cooldown takes *cooldown* observations. Observations
    during a rest or a cooldown change neither lr nor good and bad, but still enter the mean over
    *window* observations.

    After *reset_after* reductions in a row that left lr at min_lr, the schedule starts again from
    its first lr.

    References:
        GreedyLR: A Novel Adaptive Learning Rate Scheduler, 2025.
        https://arxiv.org/abs/2512.14527
        transformers GreedyLR (rest is its warmup, reset_after its reset_start).
    """

    EXAMPLE: ClassVar[Example] = {"patience": 3, "factor": 0.8}

    kind: Literal["greedy"]
    factor: float = Field(0.95, gt=0, lt=1)
    """The factor that multiplies lr to lower lr, and divides lr to raise lr."""
    threshold: float = Field(1e-6, ge=0)
    """How much better than the best value an observation must be to count as an improvement."""
    threshold_mode: Literal["rel", "abs"] = "abs"
    """Whether threshold is relative to the best value (rel) or absolute (abs)."""
    rest: int = Field(0, ge=0, le=MAX_COUNT)
    """The length of the rest after lr was raised, in observations."""
    # The default in transformers. Most fine-tuning starts from a lower lr, and an lr below min_lr
    # is never lowered.
    min_lr: Rate = 1e-3
    """The lowest value to which the schedule reduces lr."""
    max_lr: Rate = 1.0
    """The highest value to which the schedule raises lr."""
    window: int = Field(1, ge=1, le=10_000)
    """The number of observations over which the metric is averaged; 1 for no averaging."""
    reset_after: int = Field(500, ge=1, le=MAX_COUNT)
    """The number of reductions at min_lr after which the schedule starts again."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *min_lr* is above *max_lr*."""
        yield from super().problems_in(run)
        if self.min_lr > self.max_lr:
            yield RunProblem(
                ("min_lr",),
                f"min_lr must be at most max_lr, got {self.min_lr} and {self.max_lr}",
                self.min_lr,
            )

    def state(self, lr: float, run: RunLength) -> MetricDrivenLr:
        """Return the state before the first observation, when the learning rate is *lr*."""
        del run
        return GreedyLr(self, lr)


class GreedyLr(MetricDrivenLr):
    """The state of a `Greedy` schedule."""

    COUNTERS = ("good", "bad", "skip", "at_floor")
    spec: Greedy
    good: int
    bad: int
    skip: int
    at_floor: int

    def restart(self) -> None:
        """Forget all observations; lr does not change."""
        super().restart()
        self.recent: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, as values that JSON can represent."""
        return {**super().state_dict(), "recent": [plain(value) for value in self.recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a *state* that `state_dict` has returned."""
        super().load_state_dict(state)
        self.recent = [float(value) for value in state["recent"]]

    def observe(self, value: float) -> None:
        """Record the next *value* of the metric, which may raise or lower lr."""
        spec = self.spec
        # Averaged even if the observation is skipped, as in transformers. Summed anew each time:
        # the running sum in transformers accumulates rounding errors, and stays NaN after a NaN.
        self.recent = [*self.recent, value][-spec.window :]
        value = math.fsum(self.recent) / len(self.recent) if spec.window > 1 else value
        # transformers has a counter for each wait; the two never overlap, so one is enough.
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
                # As in transformers, where a cooldown also begins after a restart.
                self.skip = self.spec.cooldown
