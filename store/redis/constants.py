"""Constants that Python and the Lua functions share: `store.redis.library` fills them in."""

from __future__ import annotations

LEGACY = "optserve"
"""Name of the library of release 0.1.0, and what those of all others begin with."""
LIBRARIES = f"{LEGACY}_"
"""What the names of libraries begin with that tell their version."""
# 0.1.0 wrote format 1, and no field for it: a record without one is of that release.
FORMAT = 2
"""
Version of the records that this release writes; it reads those and older ones. A release that
writes something older ones must not touch has the next number.
"""
# A write copies the chunks that it touches (`trim` in series.lua), so a chunk has to stay small: 64
# KB for two columns. Stored series are addressed by this number, those of ended releases too:
# another one would read their rows in the wrong places.
CHUNK_ROWS = 4096
"""Rows per key of a series."""
MAX_CRASHES = 3
"""Workers that may die of a job, one after another, without a new checkpoint."""
OVERTIME_MS = 60_000
"""Milliseconds a worker gets to save and end a job whose time is over, before it is taken away."""
# With a round of the reaper after it, this keeps the promise that a lost ring delays a job by 7 s
# at most (docs/reliability.md).
RING_AFTER_MS = 5_000
"""Milliseconds a job may wait beside an idle worker before the doorbell is rung again."""
MAX_CHECKPOINTS = 3
"""Checkpoints of a job that its record points to: the last, and what it may fall back on."""
# `store.archive.histories` moves all but half of them, so that one move serves many entries.
HISTORY_ENTRIES = 400
"""Entries of a history in the store, about: older ones of a running job move to files."""
TOO_NEW = "TOONEW"
"""How a function's error begins that has found a record of a newer release; its format follows."""
# The counters are named by these numbers (``waits:50``) and survive an upgrade: after a change of a
# number, what was counted under the old one is missing from the histogram of /metrics.
WAITS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Classes in which the waits of jobs in the queue are counted: milliseconds at most."""
