"""Planned against actual: whether every lr that was applied is the one that was planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jobs.metrics import Row
from optcore.schedules.make import make_schedule
from optcore.schedules.plan import first_divergence
from optcore.spec.run import RunSpec

LR = 0
"""The column of a row that holds lr."""


class OffPlan(NamedTuple):
    """The first step whose lr was not the planned one."""

    step: int
    planned: float
    applied: float


class Plan:
    """
    What lr should be at every step, computed from the spec alone, as validate computes it.

    A difference in the last bit counts. What follows the run itself (plateau, greedy) cannot be
    planned, and is never off.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._schedule = make_schedule(
            spec.schedule,
            lr=spec.optimizer.lr,
            total_steps=spec.total_steps,
            steps_per_epoch=spec.steps_per_epoch,
        )

    def first_off(self, first: int, rows: Sequence[Row]) -> OffPlan | None:
        """Return the first of *rows*, from step *first* on, whose lr is not the planned one."""
        steps = np.arange(first, first + len(rows))
        applied = np.array([row[LR] for row in rows])
        at = first_divergence(self._schedule, steps, applied)
        if at is None:
            return None
        return OffPlan(first + at, float(self._schedule(first + at)), float(applied[at]))
