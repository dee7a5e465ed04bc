"""Creates the ids of jobs."""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

_id_lock = threading.Lock()
_ids = {"last": 0}
"""The number in the last id that this process created: milliseconds since 1970 times 4096, plus a
count."""


def new_id() -> str:
    """
    Return a new job id: ``job_`` followed by a UUID of version 7.

    The lexical order of ids from one process is the order in which they were created. For ids from
    different processes, the same holds if they were not created in the same millisecond.
    """
    with _id_lock:
        # Of the 12 bits after the milliseconds 11 are random, so that at least half of the range is
        # left to count up in. A count that runs over carries into the milliseconds, and a clock
        # that is set back is not followed: the ids stay in order in both cases.
        now = time.time_ns() // 1_000_000 << 12 | secrets.randbits(11)
        _ids["last"] = max(now, _ids["last"] + 1)  # ids within one millisecond count up
        ms, count = divmod(_ids["last"], 1 << 12)
    # 7 is the version and 0b10 the variant (RFC 9562).
    high = ms << 16 | 7 << 12 | count
    low = 0b10 << 62 | secrets.randbits(62)
    return f"job_{UUID(int=high << 64 | low)}"
