"""Ids of jobs."""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

_id_lock = threading.Lock()
_ids = {"last": 0}
"""Time and count of this process's last id."""


def new_id() -> str:
    """
    Return ``job_`` and a UUID of version 7.

    Ids of one process are in lexical order that of their making; those of several, to the
    millisecond.
    """
    with _id_lock:
        # Of the 12 bits behind the milliseconds 11 are random, so that at least half of the range
        # is left to count up in. A count that runs over carries into the milliseconds, and a clock
        # that is set back is not followed: the order of ids holds in both cases.
        now = time.time_ns() // 1_000_000 << 12 | secrets.randbits(11)
        _ids["last"] = max(now, _ids["last"] + 1)  # later ids of one millisecond count up
        ms, count = divmod(_ids["last"], 1 << 12)
    # 7 is the version and 0b10 the variant (RFC 9562).
    high = ms << 16 | 7 << 12 | count
    low = 0b10 << 62 | secrets.randbits(62)
    return f"job_{UUID(int=high << 64 | low)}"
