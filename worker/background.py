"""Work that should not slow down the job beside it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

NICENESS = 10
"""Of such work: on Linux priority belongs to threads."""


def in_background(work: Callable[[], object]) -> None:
    """Do *work* in a thread of low priority, and wait for it."""

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        work()

    thread = threading.Thread(target=run, name="background")
    thread.start()
    thread.join()
