"""A schedule that counts batches, in a run that accumulates gradients over several batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, ScheduleSpec, Variants, below
from optcore.schedules.families.modifiers import Modifier, reject_per_batch
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import MAX_STEPS, RunLength


class PerBatch(Modifier):
    """
    A schedule that moves on with every batch, in a run whose updates accumulate several batches.

    n is *accumulate*, b is *batches_per_epoch*, and S is the number of updates in an epoch. Counted
    from 0, update t = e * S + j is update j of epoch e. lr is the value of the inner schedule at
    the last batch of the update::

        f(t) = schedule(e * b + min((j + 1) * n, b) - 1)

    If n divides b, f(t) is schedule(n * t + n - 1).

    This is the lr of a training loop that calls scheduler.step() after every batch. After n
    batches, and after the last batch of an epoch, the loop first calls optimizer.step(). Loops that
    call scheduler.step() only after an update need no per_batch.

    In the inner schedule a batch is one step. Durations given as plain numbers count batches, an
    epoch is b batches, and the whole run is all batches of the run.

    References:
        torch 2.13 schedulers whose step() is called after every batch.
    """

    # Values belong to batches of the run's epochs, which a warmup must not move.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {
        "schedule": {"kind": "cyclic", "base": 0.2, "up": 150, "down": 250},
        "accumulate": 4,
    }
    VARIANTS: ClassVar[Variants] = {
        "cyclic, which counts updates": {"kind": "cyclic", "base": 0.2, "up": 150, "down": 250}
    }

    kind: Literal["per_batch"]
    accumulate: int = Field(ge=2, le=65_536, json_schema_extra={"unit": "batches"})
    """The number of batches per update; in a job, equal to training.accumulate."""
    batches_per_epoch: int | None = Field(
        None, ge=1, le=MAX_STEPS, json_schema_extra={"unit": "batches"}
    )
    """The number of batches in an epoch; in a job, equal to that of the data. If accumulate does
    not divide this number, the last update of an epoch has fewer batches. null: every update has
    accumulate batches."""

    @model_validator(mode="after")
    def _counts_batches_once(self) -> Self:
        reject_per_batch(self.schedule, "per_batch (which counts the batches itself)")
        return self

    def batches(self, run: RunLength) -> int:
        """Return the number of batches in an epoch."""
        return self.batches_per_epoch or run.steps_per_epoch * self.accumulate

    def inner(self, run: RunLength) -> RunLength:
        """Return the length of the run in batches."""
        last = self._last_batch(np.asarray([run.total_steps - 1.0]), run)
        return RunLength(int(last[0]) + 1, self.batches(run))

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield the inner schedule with its length in batches."""
        yield self.schedule, self.inner(run)

    def cost(self, run: RunLength) -> int:
        """
        Return the cost, including the cost of the inner schedule.

        The inner schedule computes a value per update or, if each value needs the previous value,
        a value per batch.
        """
        inner = self.inner(run)
        if not self.schedule.num_repeated(inner):
            inner = inner._replace(total_steps=run.total_steps)
        return run.total_steps + self.schedule.cost(inner)

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of warmup updates, including the warmup of the inner schedule."""
        own = ScheduleSpec.num_warmup_steps(self, run)
        epochs, left = divmod(self.schedule.num_warmup_steps(self.inner(run)), self.batches(run))
        return min(run.total_steps, own + epochs * run.steps_per_epoch + left // self.accumulate)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *batches_per_epoch* does not fit the updates in an epoch."""
        yield from super().problems_in(run)
        given, most = self.batches_per_epoch, run.steps_per_epoch * self.accumulate
        if given is not None and not most - self.accumulate < given <= most:
            yield RunProblem(
                ("batches_per_epoch",),
                f"batches_per_epoch must be from {most - self.accumulate + 1} to {most} for "
                f"{run.steps_per_epoch} updates per epoch, of {self.accumulate} batches each, "
                f"got {given}",
                given,
            )

    def _last_batch(self, t: Array, run: RunLength) -> Array:
        """Return the position in the run, from 0, of the last batch of each of the updates *t*."""
        batches, n = self.batches(run), self.accumulate
        if batches == run.steps_per_epoch * n:
            return np.asarray(np.floor(t) * n + (n - 1))
        epoch, update = np.divmod(np.floor(t), run.steps_per_epoch)
        return np.asarray(epoch * batches + np.minimum((update + 1) * n, batches) - 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        curve = self._inner_curve(lr, run)
        return lambda t: curve(self._last_batch(t, run))


def batch_problems(
    schedule: ScheduleSpec, *, accumulate: int, batches: int
) -> Iterator[RunProblem]:
    """
    Yield a problem for each per_batch in *schedule* whose fields do not fit the batches of a job.

    Args:
        schedule: a schedule of the job, of lr or of another hyperparameter.
        accumulate: the number of batches per update in the job.
        batches: the number of batches in an epoch of the job.
    """
    if isinstance(schedule, PerBatch):
        yield from _own_problems(schedule, accumulate, batches)
    for i, part in enumerate(schedule.parts):
        path = ("schedule",) if isinstance(schedule, Modifier) else ("schedules", i)
        yield from below(path, batch_problems(part, accumulate=accumulate, batches=batches))


def _own_problems(schedule: PerBatch, accumulate: int, batches: int) -> Iterator[RunProblem]:
    if accumulate == 1:
        text = "kind must not be per_batch where training.accumulate is 1: an update is a batch"
        yield RunProblem(("kind",), text, schedule.kind)
    elif schedule.accumulate != accumulate:
        yield RunProblem(
            ("accumulate",),
            f"accumulate must be {accumulate}, which is training.accumulate, got "
            f"{schedule.accumulate}",
            schedule.accumulate,
        )
    elif schedule.batches(RunLength(1, -(-batches // accumulate))) != batches:
        given = schedule.batches_per_epoch
        yield RunProblem(
            ("batches_per_epoch",),
            f"batches_per_epoch must be {batches}, the number of batches of the data, got "
            f"{'null' if given is None else given}",
            given,
        )
