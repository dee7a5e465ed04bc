"""How long a job will take, from how long jobs like it took on the same kind of machine."""

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
    How long a job took.

    Attributes:
        seconds: time from the claim to the end of the job.
        steps: number of steps that it made.
    """

    seconds: float
    steps: int


class Expected(NamedTuple):
    """
    How long a job is expected to take, in seconds.

    Attributes:
        lowest_s: lower end of the range.
        highest_s: upper end of the range, at most twice the lower one.
        jobs: number of finished jobs that the estimate is made from.
    """

    lowest_s: float
    highest_s: float
    jobs: int


def expected_time(steps: int, durations: Sequence[Duration]) -> Expected | None:
    """
    Return how long a job of *steps* steps takes, or None if fewer than three jobs tell.

    The middle m of the range is the median of ``seconds * steps / job.steps`` over the jobs. The
    range is m / w to m * w, where w is the ratio of the largest of these numbers to the smallest,
    but at least 1.25 and at most the root of 2.

    Args:
        steps: number of steps of the job.
        durations: durations of jobs like it, on one kind of machine.
    """
    near = [
        each
        for each in durations
        if each.steps <= MOST_LENGTHS * steps and steps <= MOST_LENGTHS * each.steps
    ]
    if len(near) < FEWEST:
        return None
    scaled = [each.seconds * steps / each.steps for each in near]
    # Times below a millisecond are stored as 0.
    spread = max(scaled) / max(min(scaled), 1e-3)
    width, middle = min(WIDEST, max(NARROWEST, spread)), median(scaled)
    lowest = middle / width
    # Rounded, middle * WIDEST may be one bit above twice the lower end.
    return Expected(lowest, min(middle * width, 2 * lowest), len(near))
