"""The steps at which a schedule is computed before a run: all steps, or a sample of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optcore.spec.errors import Problem, SpecError

BLOCK = 1_000_000
"""Number of steps whose lr is computed at a time."""
MOST_PLANNED = 10_000_000
"""Largest number of values computed for one plan, parts included: about a second of work."""
SAMPLE = 1_000_000
"""Largest number of steps in a sample, which is used if all steps would need too many values."""
# A plan contains the first and the last lr, and short warmups are at the beginning.
EDGE = 1000
"""Number of steps at either end of a run that a sample always contains."""


def planned_steps(total_steps: int, cost: int) -> Iterator[NDArray[np.int64]]:
    """
    Yield the steps for the plan of a schedule, as arrays.

    The arrays are blocks of all steps of the run, or a single array with a sample of them.

    Args:
        total_steps: number of steps in the run.
        cost: number of values that would be computed for all steps. If it exceeds `MOST_PLANNED`,
            the result is a sample.
    """
    if cost > MOST_PLANNED:
        # A step costs cost / total_steps values, so this many steps cost MOST_PLANNED.
        yield sampled(total_steps, min(SAMPLE, total_steps * MOST_PLANNED // cost))
        return
    for start in range(0, total_steps, BLOCK):
        yield np.arange(start, min(start + BLOCK, total_steps))


def sampled(total_steps: int, most: int) -> NDArray[np.int64]:
    """
    Return the steps of a run in ascending order: all of them, or a sample if the run is long.

    A run is sampled if it has more than *most* steps and more than 2 * `EDGE`. The sample contains
    the first `EDGE` steps, the last `EDGE` steps, and max(*most*, `EDGE`) evenly spaced steps.
    """
    if total_steps <= max(most, 2 * EDGE):
        return np.arange(total_steps)
    between = np.linspace(0, total_steps - 1, max(most, EDGE)).astype(np.int64)
    ends = [np.arange(EDGE), np.arange(total_steps - EDGE, total_steps)]
    steps = np.sort(np.concatenate([*ends, between]))
    # np.unique would put a million steps into a hash table and block the interpreter for a second.
    return steps[np.diff(steps, prepend=-1) > 0]


def require_finite(values: NDArray[np.float64], steps: NDArray[np.int64], param: str) -> None:
    """Raise `SpecError` about the schedule at path *param* unless all *values* are finite."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        rule = f"{param} must give a finite number at every step"
        raise SpecError([Problem(param, f"{rule}, got {values[at]} at step {steps[at]}")])
