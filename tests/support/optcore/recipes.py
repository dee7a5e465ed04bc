"""Convert a configuration in a test, and compute the lr of what it became."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.recipes.conversion import Conversion
from optcore.recipes.convert import convert, source_named
from optcore.schedules.make import make_schedule


def converted(source: str, config: dict[str, Any]) -> Conversion:
    """Return the conversion of *config*, which must have no problems."""
    result = convert(config, source_named(source))
    assert result.problems == []
    return result


def problems_of(source: str, config: dict[str, Any]) -> list[str]:
    """Return the reasons for which *config* is refused."""
    return convert(config, source_named(source)).problems


def lrs_of(result: Conversion, steps: int, *, steps_per_epoch: int = 1) -> NDArray[np.float64]:
    """Return lr at each of *steps* steps."""
    schedule = make_schedule(
        result.job["schedule"],
        lr=result.job["optimizer"]["lr"],
        total_steps=steps,
        steps_per_epoch=steps_per_epoch,
    )
    return np.asarray(schedule(np.arange(steps)))


def fate_of(result: Conversion, path: str) -> str:
    """Return what became of the key *path*."""
    return next(entry.fate for entry in result.entries if entry.path == path)
