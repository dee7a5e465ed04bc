"""Plateau: lr is lowered when a metric stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, Rate
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.noise import PlateauNoise
from optcore.schedules.families.stateful import MetricDriven, MetricDrivenLr, plain
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.spec.duration import RunLength
from optcore.spec.errors import reject


class Plateau(MetricDriven, Dialectal):
    """
    lr is multiplied by *factor* when the metric has stopped improving.

    bad is the number of observations in a row that were not better than the best value. After each
    observation::

        bad > patience:  lr = max(lr * factor, min_lr),  bad = 0,  and a cooldown begins

    An observation m is better than the best value if::

        mode min:  m < best * (1 - threshold)    with threshold_mode rel
                   m < best - threshold          with threshold_mode abs
        mode max:  m > best * (1 + threshold)    with threshold_mode rel
                   m > best + threshold          with threshold_mode abs

    *threshold_abs* is subtracted from the right side in mode min, and added to it in mode max.

    A cooldown takes *cooldown* observations. During a cooldown, torch counts no bad observations
    but updates the best value. Paddle ignores all observations.

    In dialect optax, lr is reduced one observation earlier, when bad = patience.

    In dialect timm, lr changes only once per epoch, even in a warmup. The first observations are
    ignored, one for each whole epoch of the warmup. *noise* changes the lr of an epoch, but not the
    lr that a reduction multiplies by *factor*.

    References:
        torch 2.13 ReduceLROnPlateau; Paddle 3.3.1 ReduceOnPlateau; transformers 5.24
        get_reduce_on_plateau_schedule, which is torch's; optax 0.2.8 contrib.reduce_on_plateau
        (threshold is rtol, threshold_abs atol, mean_of accumulation_size; eps is 0); timm 1.0.31
        PlateauLRScheduler.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "transformers",
        "optax",
        "timm",
    )
    LATER: ClassVar[frozenset[str]] = frozenset({"threshold_abs", "mean_of", "noise"})
    # No trajectory of mindspore.experimental's ReduceLROnPlateau was recorded to compare with.
    ONLY_DOUBLE: ClassVar[bool] = True
    EXAMPLE: ClassVar[Example] = {"patience": 3, "factor": 0.5}

    kind: Literal["plateau"]
    factor: float = Field(0.1, gt=0, lt=1)
    """The factor by which a reduction multiplies lr."""
    threshold: float = Field(1e-4, ge=0)
    """How much better than the best value an observation must be to count as an improvement."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """Whether threshold is relative to the best value (rel) or absolute (abs)."""
    threshold_abs: float = Field(0.0, ge=0)
    """How much better, in absolute terms, an observation must be in addition to threshold."""
    mean_of: int = Field(1, ge=1, le=10_000)
    """The number of successive observations that are replaced by their mean, which counts as one
    observation."""
    eps: float = by_dialect(1e-8, optax=0.0, ge=0)
    """The smallest change of lr: changes that are not larger than this are not made."""
    min_lr: Rate = 0.0
    """The lowest value to which the schedule reduces lr."""
    in_cooldown: Literal["remember", "ignore"] = by_dialect("remember", paddle="ignore")
    """Whether observations during the cooldown update the best value (remember) or not (ignore)."""
    noise: PlateauNoise | None = None
    """Random noise on lr, in dialect timm only; null for no noise."""

    @model_validator(mode="after")
    def _noise_is_of_timm(self) -> Self:
        if self.noise is not None and self.dialect != "timm":
            reject(
                ["noise"],
                f"noise must be null in dialect {self.dialect}, got an object: only dialect timm "
                f"has noise",
                None,
            )
        return self

    @model_validator(mode="after")
    def _optax_remembers(self) -> Self:
        if self.dialect == "optax" and self.in_cooldown != "remember":
            reject(
                ["in_cooldown"],
                f"in_cooldown must be 'remember' in dialect optax, got {self.in_cooldown!r}",
                self.in_cooldown,
            )
        return self

    def state(self, lr: float, run: RunLength) -> MetricDrivenLr:
        """Return the state before the first observation, when the learning rate is *lr*."""
        if self.dialect != "timm":
            return PlateauLr(self, lr)
        return TimmPlateauLr(self, lr, ignored=math.floor(self._warmup_epochs(run)))

    def curve(self, lr: float, run: RunLength) -> Curve:
        """Return the planned lr, without the changes by the metric."""
        return self.following(self.state(lr, run), run)

    def following(self, state: MetricDrivenLr, run: RunLength) -> Curve:
        """Return the schedule, with its warmup, as a function of t that takes lr from *state*."""
        if self.dialect != "timm":
            return super().following(state, run)
        n = run.steps_per_epoch
        # The rise always goes to the first lr: a change of state.lr by the metric during the rise
        # takes effect only after it.
        curve = self.behind_warmup(lambda t: np.full_like(t, state.lr), run, end=state.first_lr)

        def of_epoch(epoch: Array) -> Array:
            return curve(epoch * n)

        noisy: Curve = of_epoch
        if self.noise is not None:
            noisy = self.noise.on(of_epoch, first=math.floor(self._warmup_epochs(run)) + 1)
        return lambda t: noisy(np.floor(t / n))

    def _warmup_epochs(self, run: RunLength) -> float:
        return self.warmup_span(run) / run.steps_per_epoch


class PlateauLr(MetricDrivenLr):
    """The state of a `Plateau` schedule."""

    COUNTERS: tuple[str, ...] = ("bad", "cooling")
    spec: Plateau
    bad: int
    cooling: int

    def restart(self) -> None:
        """Forget all observations; lr does not change."""
        super().restart()
        self.mean, self.seen = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, as values that JSON can represent."""
        state = super().state_dict()
        # Only if means are taken: earlier releases wrote states without these fields.
        if self.spec.mean_of == 1:
            return state
        return {**state, "mean": plain(self.mean), "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a *state* that `state_dict` has returned."""
        super().load_state_dict(state)
        self.mean, self.seen = float(state.get("mean", 0.0)), int(state.get("seen", 0))

    def observe(self, value: float) -> None:
        """Record the next *value* of the metric, which may lower lr."""
        number = self.numbers
        # A running mean, as in optax.
        mean = (number(self.seen) * number(self.mean) + number(value)) / number(self.seen + 1)
        self.mean, self.seen = float(mean), self.seen + 1
        if self.seen < self.spec.mean_of:
            return
        value, self.mean, self.seen = self.mean, 0.0, 0
        if self.spec.dialect == "optax":
            self._observe_as_optax(value)
        else:
            self._observe_one(value)

    def _is_better(self, value: float) -> bool:
        spec = self.spec
        return self.beats_best(value, spec.threshold, spec.threshold_mode, spec.threshold_abs)

    def _observe_as_optax(self, value: float) -> None:
        spec, number = self.spec, self.spec.numbers
        better = self._is_better(value)
        self.best = value if better else self.best
        self.bad = 0 if better else self.bad + 1
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
            return
        lower = self.lr
        # Not >=: with a patience of 0, optax reduces lr after each improvement.
        if self.bad == spec.patience:
            self.cooling, self.bad = spec.cooldown, 0
            lower = float(number(self.lr) * number(spec.factor))
        lower = max(lower, float(number(spec.min_lr)))
        if abs(self.lr - lower) > spec.eps:
            self.lr = lower

    def _observe_one(self, value: float) -> None:
        spec = self.spec
        if self.cooling and spec.in_cooldown == "ignore":
            self.cooling -= 1
            return
        if self._is_better(value):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        # During the cooldown torch counts no bad observation, but updates the best value.
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > spec.patience:
            # A cooldown also begins if lr is already at min_lr, as in torch and Paddle.
            self.cooling, self.bad = spec.cooldown, 0
            lower = max(self.lr * spec.factor, spec.min_lr)
            if self.lr - lower > spec.eps:
                self.lr = lower


class TimmPlateauLr(PlateauLr):
    """The state of a `Plateau` schedule in dialect timm, which ignores the first observations."""

    COUNTERS = ("bad", "cooling", "skipped")
    skipped: int

    def __init__(self, spec: MetricDriven, lr: float, *, ignored: int) -> None:
        super().__init__(spec, lr)
        self.ignored = ignored

    def observe(self, value: float) -> None:
        """Record the next *value* of the metric, but ignore the first `ignored` values."""
        if self.skipped < self.ignored:
            self.skipped += 1
        else:
            super().observe(value)
