"""The two schedules that keep state: lr follows a metric instead of the step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from optcore.schedules.base import (
    Dialectal,
    Misfit,
    Rate,
    ScheduleDialect,
    ScheduleSpec,
    by_dialect,
)
from optcore.schedules.warmup import After
from optcore.spec.limits import MAX_COUNT

Metric = Literal["test_loss", "test_accuracy", "train_loss"]


class Observing(ScheduleSpec):
    """A schedule that is told a metric now and then, and moves lr by it."""

    STATEFUL: ClassVar[bool] = True
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

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield that nothing is known beforehand."""
        yield from super().warnings(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield (
            f"schedule: lr depends on {self.metric}, so its plan shows it as if that never changed"
        )


class Plateau(Observing, Dialectal):
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


class Greedy(Observing):
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

    kind: Literal["greedy"]
    factor: float = Field(0.95, gt=0, lt=1)
    """What lr is multiplied with, or divided by."""
    threshold: float = Field(1e-6, ge=0)
    """How much better the metric must be to count as better."""
    threshold_mode: Literal["rel", "abs"] = "abs"
    """Whether threshold is a part of the best, or absolute."""
    rest: int = Field(0, ge=0, le=MAX_COUNT)
    """How many observations are skipped after lr was raised."""
    min_lr: Rate = 1e-3
    """lr does not fall below this."""
    max_lr: Rate = 1.0
    """lr does not rise above this."""
    window: int = Field(1, ge=1, le=10_000)
    """Over how many observations the metric is averaged; 1 for none."""
    reset_after: int = Field(500, ge=1, le=MAX_COUNT)
    """Reductions at min_lr before it starts again."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also bounds that cross."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if self.min_lr > self.max_lr:
            yield Misfit(
                ("min_lr",),
                f"min_lr must be at most max_lr, got {self.min_lr} and {self.max_lr}",
                self.min_lr,
            )
