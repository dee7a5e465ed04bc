"""Work that should not slow down the job beside it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

NICENESS = 10
"""Of such work: on Linux priority belongs to threads."""


def in_background(work: Callable[[], object]) -> None:
    """Do *work* in a thread of low priority, and wait for it; what it raises is raised here."""

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        work()

    with ThreadPoolExecutor(1, thread_name_prefix="background") as pool:
        pool.submit(run).result()
