"""Schedules that fall from lr to an end over a length: cosine, linear, polynomial and their kin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.schedules.base import (
    Dialectal,
    Fraction,
    Misfit,
    Rate,
    ScheduleDialect,
    ScheduleSpec,
    at_least_a_step,
    by_dialect,
    counted,
)
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, steps_in
from optcore.spec.errors import reject


class Fall(ScheduleSpec):
    """A schedule that falls from lr to an end, which then holds."""

    length: Duration | None = None
    """How long the fall takes; null for the whole run."""
    end: Rate = 0.0
    """lr at the end of the fall, absolute."""
    end_fraction: Fraction | None = None
    """The same as a fraction of lr, instead of end; null for end."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        field = type(self).model_fields["end"]
        default = field.get_default(call_default_factory=True, validated_data=dict(self))
        # A spec written out in full holds the default beside the fraction.
        if self.end_fraction is not None and self.end != default:
            reject(
                ["end_fraction"],
                f"end_fraction must not be given together with end, got {self.end_fraction} "
                f"and {self.end}",
                self.end_fraction,
            )
        return self

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a fall of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("length", self.length, steps_per_epoch)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield that the fall is cut off by the end of the run."""
        length = total_steps if self.length is None else steps_in(self.length, steps_per_epoch)
        over = self.offset(steps_per_epoch) + length
        if over > total_steps:
            fraction = self.end_fraction
            end = f"{self.end:g}" if fraction is None else f"{fraction:g} of lr"
            yield (
                f"schedule: lr never reaches its end of {end}: the fall is over after "
                f"{counted(over, 'step')}, the run after {total_steps}"
            )


class Cosine(Fall, Dialectal):
    """
    Half a cosine wave from lr down to *end*, which then holds.

    Writing e for *end*, or for lr * *end_fraction*::

        hold:  f(t) = e + (lr - e) * (1 + cos(pi * min(t, length) / length)) / 2
        rise:  f(t) = e + (lr - e) * (1 + cos(pi * t / length)) / 2

    Past its length a cosine of torch or Paddle climbs up again, with a period of 2 * length; in
    TF, Keras and MindSpore it stays down. TF's and Keras's alpha is *end_fraction*.

    References:
        Loshchilov and Hutter, SGDR, 2017, equation 5. https://arxiv.org/abs/1608.03983
        torch 2.13 CosineAnnealingLR; Paddle 3.3.1 CosineAnnealingDecay; TF 2.21
        tf.compat.v1.train.cosine_decay; Keras 3.15.1 CosineDecay; MindSpore 2.10 CosineDecayLR
        and cosine_decay_lr; PaddleOCR Cosine.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
    )

    kind: Literal["cosine"]
    past_end: Literal["hold", "rise"] = by_dialect(
        "hold", torch="rise", paddle="rise", paddleocr="rise"
    )
    """What lr does after length."""

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield also that lr climbs up again."""
        yield from super().warnings(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if self.length is None or self.past_end == "hold":
            return
        over = self.offset(steps_per_epoch) + steps_in(self.length, steps_per_epoch)
        if over < total_steps - 1:
            yield (
                f"schedule.past_end: lr rises again after {counted(over, 'step')} of "
                f"{total_steps}; hold keeps it at its end"
            )


class Linear(Fall, Dialectal):
    """
    A straight line from lr to *end*, which then holds.

    Writing s for lr * *start_fraction* and e for *end*, or for lr * *end_fraction*::

        f(t) = s + (e - s) * min(t, length) / length

    References:
        torch 2.13 LinearLR(start_factor, end_factor, total_iters); Paddle 3.3.1 LinearLR.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")

    kind: Literal["linear"]
    start_fraction: Fraction = 1.0
    """Where the line starts, as a fraction of lr; positive in dialect torch."""

    @model_validator(mode="after")
    def _torch_starts_above_zero(self) -> Self:
        if self.dialect == "torch" and self.start_fraction == 0:
            reject(
                ["start_fraction"],
                f"start_fraction must be positive in dialect torch, whose LinearLR multiplies "
                f"what it finds, got {self.start_fraction}",
                self.start_fraction,
            )
        return self

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return also the steps of a line that climbs to a fraction of lr: torch's warmup."""
        before = super().rise(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        climbs = self.end_fraction is not None and self.start_fraction < self.end_fraction
        if self.length is None or not climbs:
            return before
        return min(total_steps, before + steps_in(self.length, steps_per_epoch))


class Polynomial(Fall, Dialectal):
    """
    A power of the time that is left, from lr down to *end*, which then holds.

    Writing e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 - min(t, length) / length) ** power
        cycle: f(t) = e + (lr - e) * (1 - t / (k * length)) ** power, k = max(1, ceil(t / length))

    At t = k * length a cycling schedule is at its end, and restarts one step later.

    References:
        torch 2.13 PolynomialLR (no end, no cycle); Paddle 3.3.1 PolynomialDecay; TF 2.21
        tf.compat.v1.train.polynomial_decay; Keras 3.15.1 PolynomialDecay; MindSpore 2.10
        PolynomialDecayLR and polynomial_decay_lr; PaddleOCR Linear and DecayLearningRate (whose
        end_lr is ignored: its end is always 0).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
    )

    kind: Literal["polynomial"]
    end: Rate = by_dialect(0.0, paddle=1e-4, keras=1e-4, tf1=1e-4, ge=0)
    """lr at the end of the fall, absolute."""
    power: float = Field(1.0, gt=0, le=1000)
    """1 is a line; above, the fall is fast at first."""
    cycle: bool = False
    """Whether it starts again, each time more slowly, instead of holding its end."""


class Tanh(Fall):
    """
    A hyperbolic tangent from lr down to *end*: flat, steep, flat.

    Writing x for min(t, length) / length and e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 - tanh(lower * (1 - x) + upper * x)) / 2    for t < length
        f(t) = e                                                           from then on

    References:
        Hsueh et al., Stochastic Gradient Descent with Hyperbolic-Tangent Decay, 2019.
        https://arxiv.org/abs/1806.01593
        timm 1.0.31 TanhLRScheduler.
    """

    kind: Literal["tanh"]
    lower: float = Field(-7.0, ge=-50, le=50)
    """Argument of tanh at the start."""
    upper: float = Field(3.0, ge=-50, le=50)
    """Argument of tanh at the end; above lower."""

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if not self.lower < self.upper:
            reject(
                ["upper"],
                f"upper must be above lower, got {self.upper} and {self.lower}",
                self.upper,
            )
        return self


class Rex(Fall):
    """
    Reflected exponential: slow at first, then ever faster down to *end*.

    Writing x for min(t, length) / length and e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 - x) / (1 - x / 2)

    References:
        Chen et al., REX: Revisiting Budgeted Training with an Improved Schedule, 2021.
        https://arxiv.org/abs/2107.04197
    """

    kind: Literal["rex"]


class WarmupStableDecay(Fall):
    """
    Flat, then a short fall to *end* over the last *decay* steps; with a warmup, the trapezoid.

    Writing x for (t - (length - decay)) / decay, kept in 0..1, and e for *end*, or for
    lr * *end_fraction*::

        linear           f(t) = e + (lr - e) * (1 - x)
        cosine           f(t) = e + (lr - e) * (1 + cos(pi * x)) / 2
        one_minus_sqrt   f(t) = e + (lr - e) * (1 - sqrt(x))
        one_minus_square f(t) = e + (lr - e) * (1 - x ** 2)

    References:
        Hu et al., MiniCPM, 2024, section 4. https://arxiv.org/abs/2404.06395
        Hagele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training
        Durations, 2024 (1 - sqrt). https://arxiv.org/abs/2405.18392
        transformers 5.23 get_wsd_schedule.
    """

    AFTER: ClassVar[After] = "overlap"

    kind: Literal["wsd"]
    decay: Duration
    """How long the fall takes; its last step is the end of length."""
    shape: Literal["linear", "cosine", "one_minus_sqrt", "one_minus_square"] = "linear"
    """How it falls."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a decay of no steps, or of more than there are."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("decay", self.decay, steps_per_epoch)
        length = total_steps if self.length is None else steps_in(self.length, steps_per_epoch)
        decay = steps_in(self.decay, steps_per_epoch)
        if decay > length:
            yield Misfit(
                ("decay",),
                f"decay must be at most the length of {counted(length, 'step')}, got {decay}",
                self.decay,
            )
