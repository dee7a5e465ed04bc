"""The pace of a run: how many steps it makes in some time."""

from __future__ import annotations

import time


class Pace:
    """
    Counts steps, so that whoever makes them need not look at the clock after each.

    Attributes:
        row: steps made when it was last asked.
    """

    def __init__(self, row: int) -> None:
        self.row = row
        self._asked_at = time.monotonic()

    def steps(self, row: int, within_s: float) -> int:
        """
        Return how many steps fit into *within_s* seconds, at the pace since it was last asked.

        Args:
            row: steps made by now.
            within_s: seconds.

        Returns:
            at least 1, even if none fits.
        """
        now = time.monotonic()
        made, took_s = row - self.row, now - self._asked_at
        self.row, self._asked_at = row, now
        return max(1, int(made * within_s / took_s)) if took_s else 1
