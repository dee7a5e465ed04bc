"""Durations: a number of steps, or of epochs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from optcore.spec.base import Spec
from optcore.spec.errors import TAG

MAX_STEPS = 100_000_000
"""The longest run, in steps."""


class Epochs(Spec):
    """A duration in epochs, rounded to whole steps (half to even, as PaddleOCR does)."""

    epochs: float = Field(gt=0, le=MAX_STEPS, json_schema_extra={"unit": "epochs"})
    """How many passes over the training data; fractions are allowed."""


def _form(value: Any) -> str:  # noqa: ANN401
    return f"{TAG}epochs" if isinstance(value, (dict, Epochs)) else f"{TAG}steps"


Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
Duration = Annotated[
    Annotated[Steps, Tag(f"{TAG}steps")] | Annotated[Epochs, Tag(f"{TAG}epochs")],
    Discriminator(_form),
]
"""``500`` is 500 steps, ``{"epochs": 5}`` is five epochs."""


def steps_in(duration: int | Epochs, steps_per_epoch: int) -> int:
    """Return *duration* in steps; a fraction of an epoch below half a step is 0."""
    if isinstance(duration, Epochs):
        return round(duration.epochs * steps_per_epoch)
    return duration
