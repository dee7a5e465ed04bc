"""Durations in steps or epochs, and the length of a run, which converts them to steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, PrivateAttr, Tag

from optcore.spec.base import Spec
from optcore.spec.errors import TAG

MAX_STEPS = 100_000_000
"""Largest number of steps in a run."""

ROUNDING = 1e-14
"""Relative difference up to which a product of epochs and steps counts as a whole number."""


# Per context, not per process: the API parses specs in several threads at a time.
_rounding: ContextVar[bool] = ContextVar("rounding", default=False)


@contextmanager
def rounding() -> Iterator[None]:
    """
    Round all durations in epochs that are parsed inside a ``with`` block to whole steps.

    Half a step is rounded to an even number of steps. Releases up to 0.2.0 rounded all durations in
    this way. A run that such a release accepted is parsed inside this block, and so keeps its lr.
    """
    before = _rounding.set(True)
    try:
        yield
    finally:
        _rounding.reset(before)


class Epochs(Spec):
    """A duration in epochs. In a schedule, it need not be a whole number of steps."""

    _rounded: bool = PrivateAttr(default_factory=lambda: _rounding.get())  # noqa: PLW0108  mypy finds no type without

    # An epoch has at least one step, so MAX_STEPS bounds epochs too.
    epochs: float = Field(gt=0, le=MAX_STEPS, json_schema_extra={"unit": "epochs"})
    """Number of passes over the training data; fractions are allowed."""

    @property
    def is_rounded(self) -> bool:
        """Whether this duration was parsed inside `rounding`, so that schedules round it."""
        return self._rounded


class Share(Spec):
    """
    A share of the run, rounded to whole steps.

    ::

        up:    ceil(fraction * steps of the run)
        down:  floor(fraction * steps of the run), but 2 instead of 1, as in Axolotl

    References:
        up: transformers 5.24 TrainingArguments(warmup_steps < 1); down: Axolotl 0.15 warmup_ratio.
    """

    fraction: float = Field(gt=0, lt=1, json_schema_extra={"unit": "of the run"})
    """The share, between 0 and 1."""
    rounding: Literal["up", "down"] = "up"
    """Direction in which a share that is not a whole number of steps is rounded."""

    def steps(self, total_steps: int) -> int:
        """Return this share of *total_steps*, rounded to whole steps."""
        round_it = math.ceil if self.rounding == "up" else math.floor
        # One product of float64 numbers, as in both frameworks: 0.1 * 30 is 3.0000000000000004.
        steps = round_it(self.fraction * total_steps)
        # Axolotl's own rule, after it has rounded.
        return 2 if self.rounding == "down" and steps == 1 else steps


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


Moment = Annotated[
    Annotated[int, Field(ge=0, le=MAX_STEPS), Tag(f"{TAG}steps")]
    | Annotated[Epochs, Tag(f"{TAG}epochs")],
    Discriminator(_form),
]
"""A point in the run: a step (0, 1, ...), or a number of epochs."""


def _form_or_share(value: Any) -> str:  # noqa: ANN401
    shares = isinstance(value, Share) or (isinstance(value, dict) and "fraction" in value)
    return f"{TAG}share" if shares else _form(value)


MomentOrShare = Annotated[
    Annotated[int, Field(ge=0, le=MAX_STEPS), Tag(f"{TAG}steps")]
    | Annotated[Epochs, Tag(f"{TAG}epochs")]
    | Annotated[Share, Tag(f"{TAG}share")],
    Discriminator(_form_or_share),
]
"""A point in the run, or ``{"fraction": 0.1}``, a tenth of the run."""
DurationOrShare = Annotated[
    Annotated[Steps, Tag(f"{TAG}steps")]
    | Annotated[Epochs, Tag(f"{TAG}epochs")]
    | Annotated[Share, Tag(f"{TAG}share")],
    Discriminator(_form_or_share),
]
"""A duration, or ``{"fraction": 0.1}``, a tenth of the run."""


class RunLength(NamedTuple):
    """
    The length of a run, which converts durations to steps.

    Attributes:
        total_steps: number of steps in the run.
        steps_per_epoch: number of steps in an epoch.
        exact_steps: the length in steps if it is not a whole number, else None. Only a part of a
            schedule, such as one repetition, may have such a length. *total_steps* is then the next
            whole number.
    """

    total_steps: int
    steps_per_epoch: int
    exact_steps: float | None = None

    @classmethod
    def of_part(cls, length: float, steps_per_epoch: int) -> RunLength:
        """Return the length of a part of a schedule: *length* steps, which may be a fraction."""
        whole = max(1, math.ceil(length))
        return cls(whole, steps_per_epoch, None if length == whole else length)

    def span(self, duration: int | Epochs | Share | None) -> float:
        """
        Return *duration* in steps, perhaps with a fraction; a duration of None is the whole run.

        A result that differs from a whole number only by floating-point rounding is replaced by the
        whole number: 1.1 epochs of 10 steps are 11 steps. A share, and a duration parsed inside
        `rounding`, is always a whole number of steps.
        """
        if duration is None:
            return self.total_steps if self.exact_steps is None else self.exact_steps
        if isinstance(duration, Share):
            return duration.steps(self.total_steps)
        product = self.product(duration)
        whole = round(product)
        return whole if math.isclose(product, whole, rel_tol=ROUNDING) else product

    def product(self, duration: int | Epochs) -> float:
        """Return *duration* in steps, as a float product: 1.1 * 10 is 11.000000000000002."""
        if isinstance(duration, Epochs):
            product = duration.epochs * self.steps_per_epoch
            return round(product) if duration.is_rounded else product
        return duration

    def is_whole(self, duration: int | Epochs | Share | None) -> bool:
        """Return whether *duration* is a whole number of steps."""
        return self.span(duration) == self.steps(duration)

    def steps(self, duration: int | Epochs | Share | None) -> int:
        """
        Return *duration* rounded to steps, half to even; a duration of None is the whole run.

        Half a step or less gives 0. A share is rounded as its field ``rounding`` says.
        """
        if isinstance(duration, Share):
            return duration.steps(self.total_steps)
        return self.total_steps if duration is None else steps_in(duration, self.steps_per_epoch)

    def in_words(self, duration: int | Epochs | Share) -> str:
        """Return *duration* as text: ``500 steps`` or ``5 epochs (3000 steps)``."""
        steps = counted(self.span(duration), "step")
        if isinstance(duration, Epochs):
            return f"{counted(duration.epochs, 'epoch')} ({steps})"
        if isinstance(duration, Share):
            return f"{duration.fraction:g} of the run ({steps})"
        return steps


def steps_in(duration: int | Epochs, steps_per_epoch: int) -> int:
    """Return *duration* rounded to steps, half to even; half a step or less gives 0."""
    if isinstance(duration, Epochs):
        return round(duration.epochs * steps_per_epoch)
    return duration


def counted(number: float, noun: str) -> str:
    """Return *number* and *noun*, in the plural if needed: ``1 step``, ``2 steps``."""
    return f"{number:.12g} {noun}{'' if number == 1 else 's'}"
