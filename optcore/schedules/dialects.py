"""Dialects: names that each select the formula, defaults and rounding of one framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import RunProblem, ScheduleSpec
from optcore.schedules.numerics.numbers import Curve, Numbers
from optcore.spec.duration import Epochs, RunLength
from optcore.spec.errors import did_you_mean, reject
from optcore.spec.limits import are_lifted

ScheduleDialect = Literal[
    "plain", "torch", "paddle", "paddleocr", "mindspore", "keras", "tf1", "timm"
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
    "timm": ("float64",),
}
"""Dialect -> the precisions in which its framework computes lr; the first is the default."""

MULTIPLYING = frozenset({"paddle", "paddleocr", "timm"})
"""Dialects whose boundaries are products of epochs and steps in Python's floats: 1.1 epochs of 10
steps are 11.000000000000002 steps, and lr changes at the step after."""

# So many values take 4 MB in float32, and the slowest schedule 0.5 s (docs/benchmarks.md).
MAX_RECURSION = 1_000_000
"""The longest float32 recursion, in steps; the value of every step is stored."""


class Dialectal(ScheduleSpec):
    """
    Base class for schedules in which frameworks differ: at boundaries, at the end, in rounding.

    The field `dialect` selects one framework's formula, defaults and rounding together.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ()
    """The dialects that the schedule has besides plain."""
    ONLY_DOUBLE: ClassVar[bool] = False
    """Whether the schedule is computed in float64 alone, in every dialect."""
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
            folds=self.dialect == "mindspore",  # MindSpore's cells subtract Python's floats
            reciprocals=self.dialect == "tf1" and single,
        )

    @property
    def rounds_warmup(self) -> bool:
        """Whether a warmup that is not a whole number of steps is rounded, as in PaddleOCR."""
        return self.dialect == "paddleocr"

    def curve(self, lr: float, run: RunLength) -> Curve:
        """Return the schedule, with its warmup, as a function of t for the learning rate *lr*."""
        curve = super().curve(lr, run)
        if self.dialect != "timm" or self.warmup is not None or not self.STARTS_AT_LR:
            return curve
        # train.py never asks a scheduler for t = 0: the optimizer begins with its own lr.
        return lambda t: np.where(t == 0, lr, curve(t))

    def _warmup_end(self, lr: float, curve: Curve, run: RunLength) -> float | None:
        if self.dialect != "timm":
            return super()._warmup_end(lr, curve, run)
        # timm rises to the lr of the optimizer, even where the schedule begins with another.
        if self.warmup is None or not self.rises_to_curve or self.warmup.after == "delay":
            return lr
        return float(curve(np.asarray([float(self.warmup_span(run))]))[0])

    @property
    def rises_to_curve(self) -> bool:
        """Whether, in dialect timm, a warmup with overlap rises to the curve at its end."""
        return False

    def moment(self, duration: int | Epochs, run: RunLength) -> float:
        """Return *duration* in steps, with the rounding of the dialect's own product of floats."""
        return run.product(duration) if self.dialect in MULTIPLYING else run.span(duration)

    @property
    def recursive(self) -> bool:
        """Whether lr is computed from the previous step's lr, so that no step can be skipped."""
        return self.dialect == "torch" and self.precision == "float32"

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if a recursion has more than `MAX_RECURSION` steps."""
        yield from super().problems_in(run)
        if self.recursive and run.total_steps > MAX_RECURSION:
            yield RunProblem(
                ("precision",),
                f"precision float32 in dialect torch computes every step from the one before, for "
                f"at most {MAX_RECURSION} steps, got {run.total_steps}; use float64",
                self.precision,
            )

    def cost(self, run: RunLength) -> int:
        """Return the cost, which is higher for a recursion because it computes step by step."""
        # Measured: a recursion takes 2 (step) to 40 times (cosine with an end) the formula's time.
        return super().cost(run) * (10 if self.recursive else 1)

    def num_repeated(self, run: RunLength) -> int:
        """Return the number of steps in the run for a recursion, else 0."""
        return run.total_steps if self.recursive else 0

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
        # A job that an earlier release accepted is trained with the numbers that it had there.
        if self.ONLY_DOUBLE and self.precision != "float64" and not are_lifted():
            reject(
                ["precision"],
                f"precision must be float64 for {self.kind}, whose lr is computed in Python's "
                f"floats, got {self.precision!r}",
                self.precision,
            )
        if self.precision not in PRECISIONS[self.dialect]:
            reject(
                ["precision"],
                f"precision must be {' or '.join(PRECISIONS[self.dialect])} in dialect "
                f"{self.dialect}, got {self.precision!r}",
                self.precision,
            )
        return self


def by_dialect(plain: float | str | None, **limits_and_defaults: Any) -> Any:  # noqa: ANN401
    """
    Return a pydantic field whose default depends on the schedule's dialect.

    Args:
        plain: the default in dialect plain and in every dialect that is not named.
        limits_and_defaults: defaults by dialect (``keras=1e-4``), and pydantic's limits gt, ge, lt
            and le.
    """
    limits = {k: v for k, v in limits_and_defaults.items() if k in ("gt", "ge", "lt", "le")}
    others = {k: v for k, v in limits_and_defaults.items() if k not in limits}
    return Field(
        default_factory=lambda data: others.get(data.get("dialect", "plain"), plain),
        json_schema_extra={"defaults": {"plain": plain, **others}},
        **limits,
    )
