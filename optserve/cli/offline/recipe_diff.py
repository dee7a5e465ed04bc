"""``optserve convert --diff``: the lr curves of two recipes, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.plan.preview import PreviewSpec
from optcore.recipes.difference import Difference, difference
from optcore.schedules.make import make_schedule
from optserve.cli.options import BadOption
from optserve.cli.output.chart import LETTERS, Curve, overlaid

HEIGHT = 14
"""Height of the chart in the terminal, in lines."""
MIN_WIDTH, MAX_WIDTH = 40, 100


class Recipe(NamedTuple):
    """
    The lr of a converted file.

    Attributes:
        name: path of the file, as text.
        lrs: lr at every step.
    """

    name: str
    lrs: NDArray[np.float64]


def recipe(path: Path, job: Mapping[str, Any], *, steps_per_epoch: int, epochs: float) -> Recipe:
    """
    Return the lr of *job* at every step.

    Args:
        path: the file that the job comes from.
        job: parts of a job: optimizer, schedule, training.
        steps_per_epoch: the number of updates in an epoch; *job* does not contain this number.
        epochs: the length of the run in epochs, used if *job* does not contain a length.
    """
    training = job.get("training", {})
    total = training.get("steps") or round((training.get("epochs") or epochs) * steps_per_epoch)
    # Parsed first, so that an error names the field.
    preview = PreviewSpec.parse(
        {
            "schedule": job.get("schedule", {"kind": "constant"}),
            "lr": job["optimizer"].get("lr", 1.0),
            "total_steps": total,
            "steps_per_epoch": steps_per_epoch,
        }
    )
    schedule = make_schedule(
        preview.schedule, lr=preview.lr, total_steps=total, steps_per_epoch=steps_per_epoch
    )
    return Recipe(str(path), schedule(np.arange(total)))


def compared(one: Recipe, other: Recipe, width: int) -> list[str]:
    """Return a chart of the lr of two recipes, and lines that say where the lr differs."""
    curves = [Curve(range(len(r.lrs)), r.lrs.tolist(), len(r.lrs) - 1) for r in (one, other)]
    width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    lines = overlaid("lr by step", curves, width=width, height=HEIGHT)
    lines += [
        f"{letter}  {len(r.lrs)} steps  {r.name}"
        for letter, r in zip(LETTERS, (one, other), strict=False)
    ]
    return lines + _said(one, other, difference(one.lrs, other.lrs))


def _said(one: Recipe, other: Recipe, found: Difference) -> list[str]:
    common = min(len(one.lrs), len(other.lrs))
    if found.first is None:
        longer = "" if len(one.lrs) == len(other.lrs) else f" that both have ({common})"
        return [f"lr is the same at all steps{longer}"]

    def both(t: int) -> str:
        return f"{one.lrs[t]:.6g} and {other.lrs[t]:.6g}"

    lines = [f"lr first differs at step {found.first}: {both(found.first)}"]
    lines.append(f"lr differs at {found.steps} of {common} steps")
    if found.ratio > 1:
        lines.append(f"greatest ratio {found.ratio:.6g} at step {found.at}: {both(found.at)}")
    if found.zeros:
        lines.append(f"at {found.zeros} steps one lr is 0 and the other is not")
    return lines


def check_two(files: list[Path]) -> tuple[Path, Path]:
    """Return the two *files* to compare; raise `BadOption` if there are not two."""
    if len(files) != 2:  # noqa: PLR2004
        raise BadOption(f"--diff takes two files, got {len(files)}")
    return files[0], files[1]
