"""Dialects: names that each select the formula, defaults and rounding of one framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import RunProblem, ScheduleSpec
from optcore.schedules.numerics.numbers import Curve, Numbers
from optcore.spec.duration import Epochs, RunLength, counted
from optcore.spec.errors import did_you_mean, reject
from optcore.spec.limits import are_lifted

ScheduleDialect = Literal[
    "plain",
    "torch",
    "paddle",
    "paddleocr",
    "mindspore",
    "keras",
    "tf1",
    "transformers",
    "optax",
    "timm",
]
Precision = Literal["float64", "float32"]

PRECISIONS: Mapping[str, tuple[Precision, ...]] = {
    "plain": ("float64",),
    "torch": ("float64", "float32"),  # Python's floats; float32 is mindspore.experimental
    "paddle": ("float64",),
    "paddleocr": ("float64",),
    "mindspore": ("float32", "float64"),  # float32 in its cells, float64 in its lists
    "keras": ("float32",),  # lr is a float32 variable even if weights are float64
    "tf1": ("float32", "float64"),  # the type of the tensor that holds lr
    "transformers": ("float64",),
    "optax": ("float32", "float64"),  # float64 with jax_enable_x64
    "timm": ("float64",),
}
"""Dialect -> the precisions in which its framework computes lr; the first is the default."""

SHORTENING = frozenset({"transformers", "optax"})
"""Dialects in which a schedule's length includes a warmup with ``compress``."""
MULTIPLYING = frozenset({"paddle", "paddleocr", "timm"})
"""Dialects whose boundaries are products of epochs and steps in Python's floats: 1.1 epochs of 10
steps are 11.000000000000002 steps, and lr changes at the step after."""

# So many values take 4 MB in float32, and the slowest schedule 0.5 s (docs/benchmarks.md).
MAX_RECURSION = 1_000_000
"""The longest float32 recursion, in steps; the value of every step is stored."""


class Dialectal(ScheduleSpec):
    """
    Base class for schedules that frameworks compute in different ways.

    Frameworks differ at boundaries, at the end of a schedule and in rounding. The field `dialect`
    selects one framework's formula, defaults and rounding together.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ()
    """The dialects that the schedule has besides plain."""
    ONLY_DOUBLE: ClassVar[bool] = False
    """Whether the schedule is computed only in float64, in every dialect except optax."""
    ONLY_SINGLE: ClassVar[bool] = False
    """Whether optax computes the schedule in float32 even with jax_enable_x64: optax divides the
    step, an int32, and JAX gives such a quotient the type float32."""
    HAS_LENGTH: ClassVar[bool] = False
    """Whether the schedule has a length that a warmup with ``compress`` shortens, in dialects
    `SHORTENING`."""
    RECURSION: ClassVar[str] = "precision float32 in dialect torch"
    """What makes lr `recursive`, as an error message names it."""
    RECURSION_FIELD: ClassVar[str] = "precision"
    """The field that makes lr `recursive`, which an error is about."""
    NO_RECURSION: ClassVar[str] = "float64"
    """What an error message suggests instead of `RECURSION`."""
    STARTS_AT_LR: ClassVar[bool] = True
    """Whether, in dialect timm without a warmup, the first update has the lr of the optimizer."""

    # Before all fields whose default depends on it: pydantic sets defaults in order of declaration.
    dialect: ScheduleDialect = "plain"
    """The framework whose formula, defaults and rounding apply; plain is the formula above. For
    mindspore.experimental, give torch and precision float32."""
    precision: Precision = Field(
        # pydantic does not call this if the dialect is invalid, so data always has the dialect.
        default_factory=lambda data: PRECISIONS[data["dialect"]][0],
        json_schema_extra={"defaults": {name: first for name, (first, *_) in PRECISIONS.items()}},
    )
    """The precision in which lr is computed, one that the dialect's framework uses."""

    @property
    def numbers(self) -> Numbers:
        """The precision and rounding of the dialect's framework."""
        single = self.precision == "float32"
        return Numbers(
            single=single,
            rounded=self.dialect == "tf1" and not single,
            # MindSpore's cells and optax subtract Python's floats.
            folds=self.dialect in ("mindspore", "optax"),
            reciprocals=self.dialect == "tf1" and single,
            sines=self.dialect == "mindspore",
            optax=self.dialect == "optax",
        )

    @property
    def warmup_numbers(self) -> Numbers:
        """
        The precision and rounding with which the warmup is computed.

        In dialect optax the warmup is float32, even if the schedule is float64 (jax_enable_x64).
        """
        return replace(self.numbers, single=True) if self.dialect == "optax" else self.numbers

    @property
    def shortened(self) -> bool:
        """Whether the length of the schedule includes the steps of the warmup."""
        compressed = self.warmup is not None and self.warmup.after == "compress"
        return compressed and self.HAS_LENGTH and self.dialect in SHORTENING

    @property
    def warmup_may_be_empty(self) -> bool:
        """Whether the warmup may have 0 steps, as in transformers and optax."""
        return self.dialect in SHORTENING

    def peak(self, lr: float) -> float | None:
        """
        Return the lr to which a warmup rises if its field `end` is null.

        None stands for the schedule's first value. The result is used only in the dialects
        `SHORTENING`.
        """
        # The first value of a float32 schedule is rounded, which optax does after the subtraction.
        return lr if self.dialect == "optax" else None

    def own_length(self, run: RunLength) -> float:
        """Return the schedule's length in steps: its field `length`, or the length of the run."""
        return run.span(getattr(self, "length", None))

    def curve(self, lr: float, run: RunLength) -> Curve:
        """Return the schedule, with its warmup, as a function of t for the learning rate *lr*."""
        shortening = self.warmup is not None and self.dialect in SHORTENING
        if shortening and self.warmup_span(run) == 0:
            return self.without_rise(lr, run)
        if self.shortened:
            return super(Dialectal, self._shorter(run)).curve(lr, run)
        curve = super().curve(lr, run)
        if self.dialect != "timm" or self.warmup is not None or not self.STARTS_AT_LR:
            return curve
        # timm's train.py never calls a scheduler for t = 0: the optimizer begins with its own lr.
        return lambda t: np.where(t == 0, lr, curve(t))

    def _shorter(self, run: RunLength) -> Self:
        """Return a copy of this schedule with a length that does not include the warmup."""
        assert self.warmup is not None
        after, length = self.without_warmup(run)
        # A length of steps need not be whole here: no user has given it.
        warmup = self.warmup.model_copy(update={"after": after})
        return self.model_copy(update={"length": length, "warmup": warmup})

    def without_rise(self, lr: float, run: RunLength) -> Curve:
        """Return the schedule as a function of t, for a warmup of 0 steps."""
        return self._formula(lr, run)

    def without_warmup(self, run: RunLength) -> tuple[Literal["delay", "overlap"], float]:
        """Return `Warmup.after` and the length in steps, both for the copy from `_shorter`."""
        # A division by 0 is a division by 1 in transformers.
        return "delay", max(1, self.own_length(run) - self.warmup_span(run))

    def behind_warmup(self, curve: Curve, run: RunLength, *, end: float | None = None) -> Curve:
        """Return *curve* preceded by the warmup, or *curve* itself if there is no warmup."""
        found = super().behind_warmup(curve, run, end=end)
        if self.warmup is None or self.dialect != "optax" or self.STATEFUL:
            return found
        # join_schedules gives its parts one type, that of the rise; a plateau is not joined.
        return lambda t: found(t).astype(np.float32)

    @property
    def rounds_warmup(self) -> bool:
        """Whether a warmup that is not a whole number of steps is rounded, as in PaddleOCR."""
        return self.dialect == "paddleocr"

    def _warmup_end(self, lr: float, curve: Curve, run: RunLength) -> float | None:
        if self.dialect in SHORTENING:
            return self.peak(lr)
        if self.dialect != "timm":
            return super()._warmup_end(lr, curve, run)
        # timm rises to the lr of the optimizer, even where the schedule begins with another.
        if self.warmup is None or not self.rises_to_curve or self.warmup.after == "delay":
            return lr
        return float(curve(np.asarray([float(self.warmup_span(run))]))[0])

    @property
    def rises_to_curve(self) -> bool:
        """
        Whether a warmup in dialect timm rises to the schedule's value, not to the optimizer's lr.

        The value is that of the step at which the warmup ends. With ``delay``, a warmup always
        rises to the optimizer's lr.
        """
        return False

    def moment(self, duration: int | Epochs, run: RunLength) -> float:
        """
        Return *duration* in steps.

        In the dialects `MULTIPLYING`, the result is the product of epochs and steps per epoch in
        Python's floats, which may differ from a whole number by a rounding error.
        """
        return run.product(duration) if self.dialect in MULTIPLYING else run.span(duration)

    @property
    def recursive(self) -> bool:
        """Whether lr is computed from the previous step's lr, so that no step can be skipped."""
        return self.dialect == "torch" and self.precision == "float32"

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """
        Also yield a problem if lr is `recursive` over more than `MAX_RECURSION` steps.

        In dialect optax, also yield a problem for a warmup that is not shorter than the schedule.
        """
        yield from super().problems_in(run)
        if self.dialect == "optax" and self._warmup_fills(run):
            assert self.warmup is not None
            yield RunProblem(
                ("warmup", "length"),
                f"length must be shorter than the {counted(self.own_length(run), 'step')} of the "
                f"schedule, got {run.in_words(self.warmup.length)}: in dialect optax, the warmup "
                f"is a part of the schedule",
                self.warmup.length,
            )
        if self.recursive and run.total_steps > MAX_RECURSION:
            yield RunProblem(
                (self.RECURSION_FIELD,),
                f"{self.RECURSION} needs a run of at most {MAX_RECURSION} steps, got "
                f"{run.total_steps}: it computes each lr from the previous lr; use "
                f"{self.NO_RECURSION}",
                getattr(self, self.RECURSION_FIELD),
            )

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the warmup takes the schedule's whole length."""
        yield from super().warnings_in(run)
        if self._warmup_fills(run):
            yield (
                f"schedule.warmup: nothing is left of the schedule's "
                f"{counted(self.own_length(run), 'step')} after the warmup; lr is what "
                f"{self.dialect} computes then"
            )

    def _warmup_fills(self, run: RunLength) -> bool:
        if self.warmup is None or not self.shortened:
            return False
        return self.warmup_span(run) >= self.own_length(run)

    def cost(self, run: RunLength) -> int:
        """Return the cost, which is ten times as high if lr is `recursive`."""
        # Measured: a recursion takes 2 (step) to 40 times (cosine with an end) the formula's time.
        return super().cost(run) * (10 if self.recursive else 1)

    def num_repeated(self, run: RunLength) -> int:
        """Return how many values need the previous step's value: all of them if `recursive`."""
        return super().num_repeated(run) + (run.total_steps if self.recursive else 0)

    @model_validator(mode="after")
    def _dialect_exists(self) -> Self:
        # Not a Literal of each class: its error could not say which schedule lacks the dialect.
        known = ("plain", *self.DIALECTS)
        if self.dialect not in known:
            reject(
                ["dialect"],
                f"dialect {self.dialect} does not exist for {self.kind}, only {', '.join(known)}"
                f"{did_you_mean(self.dialect, known)}",
                self.dialect,
            )
        # A job that an earlier release accepted is trained in the precision that it had there.
        double = self.ONLY_DOUBLE and self.dialect != "optax"
        if double and self.precision != "float64" and not are_lifted():
            reject(
                ["precision"],
                f"precision must be float64 for {self.kind}, got {self.precision!r}: frameworks "
                f"compute its lr in Python's floats",
                self.precision,
            )
        if self.precision not in PRECISIONS[self.dialect]:
            reject(
                ["precision"],
                f"precision must be {' or '.join(PRECISIONS[self.dialect])} in dialect "
                f"{self.dialect}, got {self.precision!r}",
                self.precision,
            )
        if self.ONLY_SINGLE and (self.dialect, self.precision) == ("optax", "float64"):
            reject(
                ["precision"],
                f"precision must be float32 for {self.kind} in dialect optax, got "
                f"{self.precision!r}: optax divides the step by the length in float32, even with "
                f"jax_enable_x64",
                self.precision,
            )
        return self


def by_dialect(plain: float | str | None, **limits_and_defaults: Any) -> Any:  # noqa: ANN401
    """
    Return a pydantic field whose default depends on the schedule's dialect.

    Args:
        plain: the default in dialect plain, and in every dialect without a default of its own.
        limits_and_defaults: the defaults of single dialects (``keras=1e-4``), and pydantic's limits
            gt, ge, lt and le.
    """
    limits = {k: v for k, v in limits_and_defaults.items() if k in ("gt", "ge", "lt", "le")}
    others = {k: v for k, v in limits_and_defaults.items() if k not in limits}
    return Field(
        default_factory=lambda data: others.get(data.get("dialect", "plain"), plain),
        json_schema_extra={"defaults": {"plain": plain, **others}},
        **limits,
    )
