"""Dialects: the math, defaults and rounding of one framework, picked together by a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.schedules.base import RunProblem, ScheduleSpec
from optcore.schedules.numerics.numbers import Numbers
from optcore.spec.duration import RunLength
from optcore.spec.errors import did_you_mean, reject
from optcore.spec.limits import are_lifted

ScheduleDialect = Literal["plain", "torch", "paddle", "paddleocr", "mindspore", "keras", "tf1"]
Precision = Literal["float64", "float32"]

PRECISIONS: Mapping[str, tuple[Precision, ...]] = {
    "plain": ("float64",),
    "torch": ("float64", "float32"),  # Python's floats; float32 is mindspore.experimental
    "paddle": ("float64",),
    "paddleocr": ("float64",),
    "mindspore": ("float32", "float64"),  # its cells; its lists are Python's floats
    "keras": ("float32",),  # lr is a float32 variable even among float64 weights
    "tf1": ("float32", "float64"),  # whichever the tensor is that holds lr
}
"""Dialect -> the numbers its framework computes lr in; the first is the default."""

# 4 MB of float32, and 0.5 s for the slowest (docs/benchmarks.md).
MAX_RECURSION = 1_000_000
"""The longest recursion in float32, in steps: each of them is kept."""


class Dialectal(ScheduleSpec):
    """
    A schedule that frameworks disagree about: at a boundary, at the end, in its last digit.

    The dialect picks flags, defaults and rounding together.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ()
    """Which dialects there are besides plain."""
    ONLY_DOUBLE: ClassVar[bool] = False
    """Whether it exists in float64 alone, whatever its dialect has."""

    # Ahead of all fields whose default depends on it: pydantic fills in defaults in this order.
    dialect: ScheduleDialect = "plain"
    """Whose math, defaults and rounding; plain is the formula above. mindspore.experimental is
    torch in float32."""
    precision: Precision = Field(
        # Not called where the dialect itself was wrong, so that it is always among the data.
        default_factory=lambda data: PRECISIONS[data["dialect"]][0],
        json_schema_extra={"defaults": {name: first for name, (first, *_) in PRECISIONS.items()}},
    )
    """The numbers lr is computed in, as the dialect's framework does."""

    @property
    def numbers(self) -> Numbers:
        """What the dialect's framework computes in."""
        single = self.precision == "float32"
        return Numbers(
            single=single,
            rounded=self.dialect == "tf1" and not single,
            folds=self.dialect == "mindspore",  # its cells subtract Python's floats
            reciprocals=self.dialect == "tf1" and single,
        )

    @property
    def recursive(self) -> bool:
        """Whether lr follows from the lr before, so that no step is known without all before."""
        return self.dialect == "torch" and self.precision == "float32"

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also a recursion that is too long."""
        yield from super().problems_in(run)
        if self.recursive and run.total_steps > MAX_RECURSION:
            yield RunProblem(
                ("precision",),
                f"precision float32 in dialect torch computes every step from the one before, for "
                f"at most {MAX_RECURSION} steps, got {run.total_steps}; use float64",
                self.precision,
            )

    def cost(self, run: RunLength) -> int:
        """Return more for a recursion, which goes through its steps one by one."""
        # Measured: from about 2 (step) to 40 times (a cosine with an end) what the formula takes.
        return super().cost(run) * (10 if self.recursive else 1)

    def num_repeated(self, run: RunLength) -> int:
        """Return all steps of a recursion."""
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
        plain: default in dialect plain, and in those that are not named.
        limits_and_defaults: dialect -> default; pydantic's gt, ge, lt and le.
    """
    limits = {k: v for k, v in limits_and_defaults.items() if k in ("gt", "ge", "lt", "le")}
    others = {k: v for k, v in limits_and_defaults.items() if k not in limits}
    return Field(
        default_factory=lambda data: others.get(data.get("dialect", "plain"), plain),
        json_schema_extra={"defaults": {"plain": plain, **others}},
        **limits,
    )
