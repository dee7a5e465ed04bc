"""Warnings about durations in a spec that are rounded to whole numbers of steps."""

from __future__ import annotations

from collections.abc import Iterator

from optcore.spec.duration import Epochs, counted
from optcore.spec.run import RunSpec


def rounded_durations(spec: RunSpec) -> Iterator[str]:
    """
    Yield a warning for each duration in ``training`` that is rounded to whole steps.

    The durations are the length of the run and the intervals between evaluations, between
    checkpoints and between updates of an average. Schedules warn about their own durations.
    """
    training, run = spec.training, spec.length
    average = training.shadow_ema
    durations: dict[str, int | Epochs | None] = {
        "epochs": None if training.epochs is None else Epochs(epochs=training.epochs),
        "evaluate_every": training.evaluate_every,
        "checkpoint_every": training.checkpoint_every,
        "ema.every": None if average is None else average.every,
    }
    for name, duration in durations.items():
        if duration is not None and not run.is_whole(duration):
            steps = counted(max(1, run.steps(duration)), "step")
            yield f"training.{name}: {run.in_words(duration)} are rounded to {steps}"
