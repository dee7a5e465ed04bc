"""Which steps of a run are computed for a plan, and the check that lr is finite there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optcore.spec.errors import Problem, SpecError

BLOCK = 1_000_000
"""Steps whose lr is computed at a time."""
MOST_PLANNED = 10_000_000
"""Values computed for one plan, those of all parts of its schedule: about a second."""
SAMPLE = 1_000_000
"""Steps computed, at most, where all of them would be too many values."""
# A plan names the first and the last lr, and short warmups lie at the beginning.
EDGE = 1000
"""Steps at either end of a run that a sample always has."""


def planned_steps(total_steps: int, cost: int) -> Iterator[NDArray[np.int64]]:
    """Yield all steps, block by block, or a sample where *cost*, that of all, is too much."""
    if cost > MOST_PLANNED:
        # A step costs cost / total_steps values, so this many steps cost MOST_PLANNED.
        yield sampled(total_steps, min(SAMPLE, total_steps * MOST_PLANNED // cost))
        return
    for start in range(0, total_steps, BLOCK):
        yield np.arange(start, min(start + BLOCK, total_steps))


def sampled(total_steps: int, most: int) -> NDArray[np.int64]:
    """Return every step, or about *most* of them: both ends whole, the others evenly apart."""
    if total_steps <= max(most, 2 * EDGE):
        return np.arange(total_steps)
    between = np.linspace(0, total_steps - 1, max(most, EDGE)).astype(np.int64)
    ends = [np.arange(EDGE), np.arange(total_steps - EDGE, total_steps)]
    steps = np.sort(np.concatenate([*ends, between]))
    # np.unique puts a million into a hash table, and holds the interpreter for a second over it.
    return steps[np.diff(steps, prepend=-1) > 0]


def require_finite(values: NDArray[np.float64], steps: NDArray[np.int64], param: str) -> None:
    """Raise `SpecError` for the schedule at *param* if one of its *values* is not finite."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        rule = f"{param} must give a finite number at every step"
        raise SpecError([Problem(param, f"{rule}, got {values[at]} at step {steps[at]}")])
