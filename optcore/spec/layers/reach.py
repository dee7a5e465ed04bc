"""Which positions of its input an output position of a layer depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

MAX_DENOMINATOR = 10**6
"""Largest denominator of a bound; those of built-in layers are sizes of a few of them."""


@dataclass(frozen=True)
class Reach:
    """
    A bound: output position t depends on no position of the input after slope * t + start.

    Positions are those of a sequence, the samples of a signal or the columns of an image; a vector
    has one. The bound is rounded down. The last position of the input is never exceeded.

    Attributes:
        slope: number of input positions per output position.
        start: the last position that output position 0 depends on; below 0 if there is none.
        certain: whether outputs certainly depend on the last positions that the bound allows. If
            false, it is not known whether they do.
        joins: whether the output is a vector, each of whose values depends on all values of the
            input. Up to the output of such a layer, a bound is certain.
    """

    slope: Fraction | int
    start: Fraction | int
    certain: bool = True
    joins: bool = False

    @classmethod
    def all_of(cls, positions: int, *, certain: bool = True) -> Reach:
        """Return the bound of outputs that depend on all *positions* of the input."""
        return cls(0, positions - 1, certain)

    def after(self, before: Reach) -> Reach:
        """Return the bound of this layer after layers that have the bound *before*."""
        if self == PRESENT:
            return before
        slope = before.slope * self.slope
        start = before.slope * self.start + before.start
        certain = self.joins or (before.certain and self.certain)
        joins = self.joins or (before.joins and self.certain)
        if max(slope.denominator, start.denominator) > MAX_DENOMINATOR:
            # Sizes of many layers without a common factor; rounded up, it stays a bound.
            start = Fraction(-(-start.numerator * MAX_DENOMINATOR // start.denominator))
            slope = Fraction(-(-slope.numerator * MAX_DENOMINATOR // slope.denominator))
            return Reach(slope / MAX_DENOMINATOR, start / MAX_DENOMINATOR, certain=False)
        return Reach(slope, start, certain, joins)

    def times(self, times: int) -> Reach:
        """Return the bound of *times* such layers, one after another."""
        found, power = PRESENT, self
        while times:
            if times % 2:
                found = power.after(found)
            power, times = power.after(power), times // 2
        return found

    def exceeds(self, positions: int) -> bool:
        """Return whether one of *positions* outputs may depend on a later position of the input."""
        # The bound is a straight line, so its ends tell. The last position has no later one.
        return positions > 1 and any(
            self.slope * t + self.start >= t + 1 for t in (0, positions - 2)
        )


PRESENT = Reach(1, 0)
"""The bound of a layer whose output positions depend on their own position, or on earlier ones."""
NOTHING = Reach(0, -1)
"""The bound of outputs that do not depend on the input."""
JOINED = Reach(1, 0, joins=True)
"""The bound of a layer that takes a vector, and whose values depend on all of it."""


def widest(reaches: Sequence[Reach], positions: int) -> Reach:
    """Return a bound for *positions* outputs, each computed from values with bounds *reaches*."""
    first = max(reaches, key=lambda each: (each.start, each.certain))
    last = positions - 1
    ends = (first.start, max(each.slope * last + each.start for each in reaches))
    if not last or first.slope * last + first.start == ends[1]:
        return first
    # The largest of straight lines is convex, so that it is nowhere above the line of its ends.
    return Reach(Fraction(ends[1] - ends[0]) / last, ends[0], first.certain)
