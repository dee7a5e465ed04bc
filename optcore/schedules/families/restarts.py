"""Warm restarts: several cosines in sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, Variants, finite_power, rounded
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.annealing import Annealing, between
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.spec.duration import Duration, RunLength
from optcore.spec.errors import reject


class CosineRestarts(Annealing, Dialectal):
    """
    Cosines in sequence, called cycles; later cycles may be longer and of another height.

    i is the number of completed cycles, and cycle i takes length * t_mul ** i steps. x is the
    completed fraction (0..1) of the current cycle. e is *end*, or lr * *end_fraction* if
    *end_fraction* is given::

        f(t) = e + (lr - e) * m_mul ** i * (1 + cos(pi * x)) / 2

    With *num_cycles*, all cycles take *length* / *num_cycles* steps, which need not be a whole
    number, and lr is e from t = length on.

    The first step of a cycle has the highest lr of the cycle. Dialects keras and tf1 compute i with
    a logarithm, as Keras and TF do. If cycles grow, the rounding of the logarithm may put the first
    step of a cycle at the end of the previous cycle.

    References:
        Loshchilov and Hutter, SGDR, 2017, section 3. https://arxiv.org/abs/1608.03983
        torch 2.13 CosineAnnealingWarmRestarts; Paddle 3.3.1 CosineAnnealingWarmRestarts; TF 2.21
        tf.compat.v1.train.cosine_decay_restarts; Keras 3.15.1 CosineDecayRestarts; transformers
        5.24 get_cosine_with_hard_restarts_schedule_with_warmup (num_cycles).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "keras",
        "tf1",
        "transformers",
    )
    HAS_LENGTH: ClassVar[bool] = True
    LATER: ClassVar[frozenset[str]] = frozenset({"num_cycles"})
    EXAMPLE: ClassVar[Example] = {"length": 60, "t_mul": 2.0}
    VARIANTS: ClassVar[Variants] = {
        "m_mul 0.6": {"length": 100, "m_mul": 0.6},
        "num_cycles 3.5": {"num_cycles": 3.5},
    }

    kind: Literal["cosine_restarts"]
    length: Duration | None = None
    """The length of the first cycle or, if num_cycles is given, of all cycles together. null, which
    needs num_cycles: the whole run."""
    num_cycles: float | None = Field(None, gt=0, le=1e6)
    """The number of cycles in length, such as 3.5; null if length is that of the first cycle."""
    t_mul: float = Field(1.0, ge=1, le=1000)
    """The ratio of the length of each cycle to the length of the previous cycle."""
    m_mul: float = Field(1.0, ge=0)
    """The ratio of the height of each cycle to the height of the previous cycle."""
    edges: Literal["exact", "logarithm"] = by_dialect("exact", keras="logarithm", tf1="logarithm")
    """How the cycle to which a step belongs is computed: exactly, or with a logarithm, as in TF."""

    @model_validator(mode="after")
    def _cycles_have_a_length(self) -> Self:
        if self.num_cycles is None and self.length is None:
            reject(["length"], "length or num_cycles must be given, got neither", None)
        return self

    @model_validator(mode="after")
    def _numbered_cycles_are_equal(self) -> Self:
        if self.num_cycles is None:
            if self.dialect == "transformers":
                text = "num_cycles is required in dialect transformers, got null"
                reject(["num_cycles"], text, None)
            return self
        if self.t_mul != 1:
            reject(["t_mul"], f"t_mul must be 1 with num_cycles, got {self.t_mul}", self.t_mul)
        if self.edges != "exact":
            message = f"edges must be exact with num_cycles, got {self.edges}"
            reject(["edges"], message, self.edges)
        if self.dialect not in ("plain", "transformers"):
            reject(
                ["num_cycles"],
                f"num_cycles does not exist in dialect {self.dialect}, only in plain and "
                f"transformers, got {self.num_cycles}",
                self.num_cycles,
            )
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if the peaks overflow during the run."""
        yield from super().problems_in(run)
        # Computed as if cycles did not grow, so never fewer cycles than the run has.
        cycles = run.total_steps / (run.span(self.length) or 1)
        yield from finite_power("m_mul", self.m_mul, self.num_cycles or cycles)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        if self.num_cycles is not None:
            return numbered_cycles(
                lr=lr,
                length=run.span(self.length),
                num_cycles=self.num_cycles,
                m_mul=self.m_mul,
                ratio_first=self.dialect == "transformers",
                **self._ends(),
            )
        return cosine_restarts(
            lr=lr,
            length=run.span(self.length),
            t_mul=self.t_mul,
            m_mul=self.m_mul,
            edges=self.edges,
            # torch counts T_cur but computes lr anew from T_cur: there is no recursion to copy.
            numbers=self.numbers,
            **self._ends(),
        )


class CyclicalCosine(Annealing, Dialectal):
    """
    The same cosine in every cycle; lr jumps back to its start value after each cycle.

    e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        f(t) = e + (lr - e) * (1 + cos(pi * (t mod length) / length)) / 2

    In dialect paddleocr, the length is rounded to whole steps, as in PaddleOCR.

    References:
        PaddleOCR CyclicalCosine (length is its cycle, in epochs; T_max is not used).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddleocr",)
    EXAMPLE: ClassVar[Example] = {"length": {"epochs": 5}}

    kind: Literal["cyclical_cosine"]
    length: Duration
    """The length of a cycle."""

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the length of a cycle is rounded."""
        yield from super().warnings_in(run)
        if self.dialect == "paddleocr":
            yield from rounded("length", self.length, run)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        rounds = self.dialect == "paddleocr"
        length = run.steps(self.length) if rounds else run.span(self.length)
        return cosine_restarts(lr=lr, length=length, **self._ends())


def cosine_restarts(
    *,
    lr: float,
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    t_mul: float = 1.0,
    m_mul: float = 1.0,
    edges: Literal["exact", "logarithm"] = "exact",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return f(t) = end + (lr - end) * m_mul ** i * (1 + cos(pi * x)) / 2.

    i is the number of completed cycles, and x the completed fraction of the current cycle. If
    *end_fraction* is given, end is lr * end_fraction.

    In float32, end_fraction is rounded before 1 - end_fraction is computed, as in TF. The other
    float32 schedules round only the difference 1 - end_fraction.
    """
    if end_fraction is not None and numbers.single:
        end_fraction = float(np.float32(end_fraction))
    lr_at = between(lr, end, end_fraction, numbers)
    pi, half, one, scale = numbers(np.pi), numbers(0.5), numbers(1), numbers(m_mul)

    def f(t: Array) -> Array:
        cycle, since, span = cycle_of(numbers.steps(t), length, t_mul, edges, numbers)
        height = half if m_mul == 1 else half * per_cycle(partial(numbers.power, scale), cycle)
        # TF divides before it multiplies, the other frameworks after.
        angle = pi * since / span if end_fraction is None else pi * (since / span)
        return lr_at(height * (one + numbers.cos(angle)))

    return f


def numbered_cycles(
    *,
    lr: float,
    length: float,
    num_cycles: float,
    m_mul: float = 1.0,
    end: float = 0.0,
    end_fraction: float | None = None,
    ratio_first: bool = False,
) -> Curve:
    """
    Return *num_cycles* cosines of equal length over *length* steps, then the end value.

    With *ratio_first*, t is divided by *length* and then multiplied by *num_cycles*, as in
    transformers. The rounding of the quotient may delay a restart by a step. Without *ratio_first*,
    t is multiplied first.
    """
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        along = num_cycles * (t / length) if ratio_first else num_cycles * t / length
        cycle = np.floor(along)
        left = (1 + np.cos(np.pi * (along - cycle))) / 2
        height = left if m_mul == 1 else left * per_cycle(partial(DOUBLE.power, m_mul), cycle)
        return lr_at(np.where(t < length, height, 0.0))

    return f


SHARING = 8
"""The number of steps per cycle above which a table of the cycles is faster than their powers."""

# At most 1,400 cycles: the number in the longest run, if the first cycle has 1 step.
LEAST_TABLED = 1.01
"""The smallest t_mul with which the cycles of even the longest run fit into a small table."""


def cycle_of(
    t: Array, length: float, t_mul: float, edges: str, numbers: Numbers
) -> tuple[Array, Array, Any]:
    """
    Return, for each *t*, the cycle's number, the time since its beginning, and its length.

    The time and the length of a cycle have the same unit. Depending on the arguments, the unit is a
    step or the argument *length*, so use only the ratio of time and length.
    """
    n, one, grow = numbers(length), numbers(1), numbers(t_mul)
    if t_mul == 1 and edges == "exact":
        cycle = np.floor(t / n)
        return cycle, t - cycle * n, n
    if edges == "exact" and t_mul >= LEAST_TABLED:
        return _tabled_cycle(t, length, t_mul, numbers)
    along = numbers.share(t, n)
    # TF compares t_mul in float32, where 1 + 1e-9 is 1; the form below would divide by 0.
    if grow == one:
        cycle = np.floor(along)
        return cycle, along - cycle, one

    power = partial(per_cycle, partial(numbers.power, grow))

    def begin(i: Array) -> Any:  # noqa: ANN401
        return (one - power(i)) / (one - grow)

    inside = one - along * (one - grow)
    cycle = np.floor(numbers.log(inside) / numbers.log(np.asarray(grow)))
    if edges == "exact":
        # The logarithm is rounded, which may put the first step of a cycle into the previous cycle.
        cycle -= n * begin(cycle) > t
        cycle += n * begin(cycle + one) <= t
    if edges == "exact":
        return cycle, t - n * begin(cycle), n * power(cycle)
    return cycle, along - begin(cycle), power(cycle)


def per_cycle(function: Callable[[Array], Array], cycle: Array) -> Array:
    """
    Return function(cycle), computed once per cycle and not once per step if cycles are long.

    Args:
        function: takes an array, and computes each element of the result from the same element
            alone.
        cycle: for each step, the number (0, 1, 2, ...) of the cycle that the step belongs to.
    """
    if not len(cycle):
        return function(cycle)
    first = cycle.min()
    count = float(cycle.max()) - float(first) + 1
    if not count <= len(cycle) / SHARING:
        return function(cycle)
    # Counted in float64, since float32 cannot represent every number above 2 ** 24.
    each = (float(first) + np.arange(count)).astype(cycle.dtype)
    return np.asarray(function(each)[(cycle - first).astype(np.intp)])


def _tabled_cycle(
    t: Array, length: float, t_mul: float, numbers: Numbers
) -> tuple[Array, Array, Any]:
    spans = [float(length)]
    starts = [0.0]
    longest = float(t.max(initial=0.0))
    # A larger t only makes the same table longer, so that no value depends on the largest t.
    while starts[-1] + spans[-1] <= longest:
        starts.append(starts[-1] + spans[-1])
        # By a power, not from the previous span, whose rounding error would grow.
        spans.append(length * t_mul ** len(spans))
    begin = np.asarray(starts, numbers.dtype)
    cycle = np.searchsorted(begin, t, side="right") - 1
    return cycle.astype(numbers.dtype), t - begin[cycle], np.asarray(spans, numbers.dtype)[cycle]
