"""The position of a client in the rows of a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    The position of a client in the rows of a job; as text, the id of an event in a stream.

    Attributes:
        last: number of the last row that the client has; -1 if the client has no rows.
        truncations: number of truncations of the job's rows before the client got that row.
    """

    last: int
    truncations: int = 0

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor in an event id: ``41``, or ``41.2`` after two truncations."""
        last, _, truncations = text.partition(".")
        return cls(int(last), int(truncations or 0))

    def __str__(self) -> str:
        return f"{self.last}.{self.truncations}" if self.truncations else str(self.last)

    def after(self, truncations: Sequence[int]) -> Cursor:
        """
        Return the cursor at the last of the client's rows that is still valid.

        Args:
            truncations: the first row removed, for each truncation of the job so far.
        """
        # Only truncations since this cursor count: a row can be removed, and computed again before
        # the client reads it.
        since = truncations[self.truncations :]
        return Cursor(min([self.last, *(first - 1 for first in since)]), len(truncations))
