"""Constants that Python and Lua share: `store.redis.library` inserts them into the Lua source."""

from __future__ import annotations

LEGACY = "optserve"
"""Name of the function library of release 0.1.0; the names of all later libraries begin with it."""
LIBRARIES = f"{LEGACY}_"
"""Prefix of the names of the function libraries of later releases, which contain a version."""
# 0.1.0 wrote format 1 without a field for it: a record without the field was written by 0.1.0.
# Format 3: the job has something that 0.2.0, which writes format 2, would compute differently. A
# job that has nothing of the kind is still written in format 2 (`store.jobs.record.new_fields`).
FORMAT = 3
"""
Version of the record format that this release writes; the release also reads older ones. A release
that writes something that older releases must not touch increments the number.
"""
# A write copies the chunks that it touches (`trim` in series.lua), so a chunk has to stay small: 64
# KB for two columns. Stored series, also those from earlier releases, are addressed by this number:
# with another number their rows would be read from the wrong places.
CHUNK_ROWS = 4096
"""Number of rows that one key of a series holds."""
MAX_CRASHES = 3
"""Number of crashed attempts in a row, without a new checkpoint, after which the job fails."""
OVERTIME_MS = 60_000
"""Milliseconds that a worker gets to save and release a job whose time limit is reached."""
# Together with a round of the reaper this keeps the promise that a lost ring delays a job by at
# most 7 s (docs/reliability.md).
RING_AFTER_MS = 5_000
"""Milliseconds that a job waits while a suitable worker is idle before the doorbell rings again."""
MAX_CHECKPOINTS = 3
"""Maximum number of checkpoints that a record points to: the last one, and older ones as backup."""
# `store.archive.histories` moves all entries but half this number, so one move serves many entries.
HISTORY_ENTRIES = 400
"""Number of history entries in Redis beyond which a running job's older entries move to files."""
TOO_NEW = "TOONEW"
"""Prefix of the error of a function that finds a newer release's record; the record's format
follows the prefix."""
# The counters are named after these numbers (``waits:50``) and survive an upgrade: after a change
# of a number, waits counted under the old name are missing from the histogram in /metrics.
WAITS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Upper bounds, in milliseconds, of the histogram classes for the time that jobs are queued."""
