"""The expected time of a job, from the times of similar jobs on the same kind of machine."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import NamedTuple

FEWEST = 3
"""Number of finished jobs that an estimate needs."""
MOST_LENGTHS = 4
"""Largest ratio between the lengths of two jobs of which one says how long the other takes: the
set-up and the last evaluation are a part of each, however long it is."""
WIDEST = sqrt(2)
"""Largest ratio between an end of the range and its middle: the ends differ by a factor of 2."""
NARROWEST = 1.25
"""Smallest such ratio, since three jobs do not show how much a machine's speed varies."""


class Duration(NamedTuple):
    """
    The time that a finished job took.

    Attributes:
        seconds: time from the moment a worker claimed the job to the end of the job.
        steps: number of steps that the job made.
    """

    seconds: float
    steps: int


class Expected(NamedTuple):
    """
    The time that a job is expected to take, as a range.

    Attributes:
        lowest_s: lower end of the range, in seconds.
        highest_s: upper end of the range, in seconds; at most twice the lower end.
        jobs: number of finished jobs that the estimate is made from.
    """

    lowest_s: float
    highest_s: float
    jobs: int


def expected_time(steps: int, durations: Sequence[Duration]) -> Expected | None:
    """
    Return the time that a job is expected to take, estimated from the times of finished jobs.

    Only finished jobs with at least a quarter and at most four times as many steps are used. If
    there are fewer than three of them, the result is None.

    The time of each such job is scaled to the length of the new job, and the range is computed
    from the scaled times::

        scaled = seconds * steps / steps of the finished job
        w = max(scaled) / min(scaled), but at least 1.25 and at most the square root of 2
        range = median(scaled) / w to median(scaled) * w

    Args:
        steps: number of steps of the new job.
        durations: times of finished jobs like the new job, on one kind of machine.
    """
    near = [
        each
        for each in durations
        if each.steps <= MOST_LENGTHS * steps and steps <= MOST_LENGTHS * each.steps
    ]
    if len(near) < FEWEST:
        return None
    # In proportion to the steps, although the set-up takes as long in a short job: `MOST_LENGTHS`
    # limits the error.
    scaled = [each.seconds * steps / each.steps for each in near]
    # Times below a millisecond are stored as 0.
    spread = max(scaled) / max(min(scaled), 1e-3)
    width, middle = min(WIDEST, max(NARROWEST, spread)), median(scaled)
    lowest = middle / width
    # Rounded, middle * WIDEST may be one bit above twice the lower end.
    return Expected(lowest, min(middle * width, 2 * lowest), len(near))
