"""How far a reader of a job's rows has got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """
    How far a reader of a job's rows has got; as text it is the id of a stream's event.

    Attributes:
        last: the last row it has; -1 for none.
        cuts: how often rows had been cut when it got that one.
    """

    last: int
    cuts: int = 0

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that an event's id says: ``41``, or ``41.2`` after two cuts."""
        last, _, cuts = text.partition(".")
        return cls(int(last), int(cuts or 0))

    def __str__(self) -> str:
        return f"{self.last}.{self.cuts}" if self.cuts else str(self.last)

    def after(self, cuts: Sequence[int]) -> Place:
        """Return the place of the last row that is still what it was, given all *cuts*."""
        kept = min([self.last, *(first - 1 for first in cuts[self.cuts :])])
        return Place(kept, len(cuts))
