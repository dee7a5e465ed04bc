"""Glances: when a loop should look up from its steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PERIOD_S = 0.05
"""Seconds between two glances, at most, of a loop whose steps are shorter."""


class Glances:
    """
    When to look up: to do so at every step costs a short one some percent of its time.

    Attributes:
        due: whether the loop should look up; the loop resets it.
    """

    def __init__(self) -> None:
        self.due = True


@contextmanager
def glances() -> Iterator[Glances]:
    """Give what reminds a loop, from a thread that nothing else can hold up."""
    reminded, over = Glances(), threading.Event()

    def remind() -> None:
        while not over.wait(PERIOD_S):
            reminded.due = True

    thread = threading.Thread(target=remind, name="glances", daemon=True)
    thread.start()
    try:
        yield reminded
    finally:
        over.set()
        thread.join()
