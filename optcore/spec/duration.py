"""Durations in steps or epochs, and the length of a run, which converts them to steps."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag

from optcore.spec.base import Spec
from optcore.spec.errors import TAG

MAX_STEPS = 100_000_000
"""The longest run, in steps."""


class Epochs(Spec):
    """A duration in epochs, rounded to whole steps (half to even, as PaddleOCR does)."""

    # An epoch has at least one step, so MAX_STEPS bounds epochs too.
    epochs: float = Field(gt=0, le=MAX_STEPS, json_schema_extra={"unit": "epochs"})
    """Number of passes over the training data; fractions are allowed."""


class Share(Spec):
    """
    A share of the run, rounded to whole steps.

    ::

        up:    ceil(fraction * steps of the run)
        down:  floor(fraction * steps of the run)

    References:
        up: transformers 5.24 TrainingArguments(warmup_steps < 1); down: Axolotl 0.15 warmup_ratio.
    """

    fraction: float = Field(gt=0, lt=1, json_schema_extra={"unit": "of the run"})
    """The share, between 0 and 1."""
    rounding: Literal["up", "down"] = "up"
    """How a share that is no whole number of steps is rounded."""

    def steps(self, total_steps: int) -> int:
        """Return the share of *total_steps*."""
        round_it = math.ceil if self.rounding == "up" else math.floor
        # One product of float64 numbers, as in both frameworks: 0.1 * 30 is 3.0000000000000004.
        return round_it(self.fraction * total_steps)


# A function chooses the form. For a plain union, pydantic would report what is wrong with each
# form, under names that are not in the data.
def _form(value: Any) -> str:  # noqa: ANN401
    return f"{TAG}epochs" if isinstance(value, (dict, Epochs)) else f"{TAG}steps"


Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
Duration = Annotated[
    Annotated[Steps, Tag(f"{TAG}steps")] | Annotated[Epochs, Tag(f"{TAG}epochs")],
    Discriminator(_form),
]
"""``500`` is 500 steps, ``{"epochs": 5}`` is five epochs."""


def _form_or_share(value: Any) -> str:  # noqa: ANN401
    shares = isinstance(value, Share) or (isinstance(value, dict) and "fraction" in value)
    return f"{TAG}share" if shares else _form(value)


DurationOrShare = Annotated[
    Annotated[Steps, Tag(f"{TAG}steps")]
    | Annotated[Epochs, Tag(f"{TAG}epochs")]
    | Annotated[Share, Tag(f"{TAG}share")],
    Discriminator(_form_or_share),
]
"""A duration, or ``{"fraction": 0.1}``, a tenth of the run."""

Moment = Annotated[
    Annotated[int, Field(ge=0, le=MAX_STEPS), Tag(f"{TAG}steps")]
    | Annotated[Epochs, Tag(f"{TAG}epochs")],
    Discriminator(_form),
]
"""A point in the run: the step 0, 1, ..., or a number of epochs."""


class RunLength(NamedTuple):
    """
    The length of a run, which converts durations to steps.

    Attributes:
        total_steps: number of steps in the run.
        steps_per_epoch: number of steps in an epoch.
    """

    total_steps: int
    steps_per_epoch: int

    def steps(self, duration: int | Epochs | Share | None) -> int:
        """Return *duration* in steps, possibly 0; a duration of None is the whole run."""
        if isinstance(duration, Share):
            return duration.steps(self.total_steps)
        return self.total_steps if duration is None else steps_in(duration, self.steps_per_epoch)

    def steps_or_one(self, duration: int | Epochs | None) -> int:
        """Return *duration* in steps, at least 1; a duration of None is the whole run."""
        return self.total_steps if duration is None else max(1, self.steps(duration))

    def in_words(self, duration: int | Epochs | Share) -> str:
        """Return *duration* as text: ``500 steps`` or ``5 epochs (3000 steps)``."""
        steps = counted(self.steps(duration), "step")
        if isinstance(duration, Epochs):
            return f"{counted(duration.epochs, 'epoch')} ({steps})"
        if isinstance(duration, Share):
            return f"{duration.fraction:g} of the run ({steps})"
        return steps


def steps_in(duration: int | Epochs, steps_per_epoch: int) -> int:
    """Return *duration* in steps; a duration shorter than half a step gives 0."""
    if isinstance(duration, Epochs):
        return round(duration.epochs * steps_per_epoch)
    return duration


def counted(number: float, noun: str) -> str:
    """Return *number* and *noun*, in the plural if needed: ``1 step``, ``2 steps``."""
    return f"{str(number).removesuffix('.0')} {noun}{'' if number == 1 else 's'}"
