"""Glances: when a loop should look up from its steps."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

PERIOD_S = 0.05
"""Seconds between two glances, at most, of a loop whose steps are shorter."""


class Glances:
    """
    Reminds a loop to look up: to do so at every step costs a short one some percent of its time.

    The thread that reminds does nothing else, so that nothing else can hold it up.

    Attributes:
        due: whether the loop should look up; the loop resets it.
    """

    def __init__(self) -> None:
        self.due = True
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._remind, name="glances", daemon=True)

    def _remind(self) -> None:
        while not self._closing.wait(PERIOD_S):
            self.due = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()
