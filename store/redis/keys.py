"""
The names of all keys in Redis, for Python and for the Lua functions.

The text below a name gives the parameters in the name, and describes the value of the key. Times
are in milliseconds since 1970. If the text says that a sorted set is ordered "by" a time, that time
is the score of a member.
"""

from __future__ import annotations

JOB = "optserve:job:%s:%s"
"""(tenant, id) -> hash: the job's record."""
# Every score in these sets of ids is 0, and members with equal scores are ordered as bytes. Ids are
# UUIDs of version 7, which begin with the time of their creation.
JOBS = "optserve:jobs:%s"
"""(tenant) -> sorted set of the tenant's job ids, in lexical order, the order of submission."""
JOBS_IN_STATE = "optserve:jobs:%s:%s"
"""(tenant, state) -> sorted set of the ids of jobs in that state, in lexical order."""
LABELLED = "optserve:labelled:%s:%s"
"""(tenant, ``name=value`` of a label) -> sorted set of the ids of jobs with that label, in lexical
order."""
INDEXED = "optserve:indexed"
"""Integer n: each of the first n submitted jobs is in the sets of its labels; see
``labels.lua``."""
INDEXING = "optserve:indexing"
"""Hash: the progress of adding older jobs to the sets of their labels; absent when done."""
IDEMPOTENCY = "optserve:idempotency:%s:%s"
"""(tenant, hash of the Idempotency-Key) -> hash: the id of the job that was submitted with the key,
and the SHA-256 of that request."""
NUMBER = "optserve:number"
"""Counter: the number of jobs submitted so far."""
PENDING = "optserve:pending:%s:%s"
"""(lane, tenant) -> sorted set of the ids of queued jobs, by priority, then by number. A lane is a
device, or ``@`` followed by the fingerprint (a digest of hardware and library versions) of the
workers that can continue a job with results that are equal bit for bit."""
WAITING = "optserve:waiting:%s"
"""(lane) -> set of the tenants that have queued jobs in the lane."""
LANES = "optserve:lanes"
"""Set of the lanes that contain queued jobs."""
# ``tenant/id`` is split at its first slash, here and in Lua: the name of a tenant has no slash.
LEASES = "optserve:leases"
"""Sorted set of ``tenant/id`` of running jobs, by the time at which the lease expires."""
DEADLINES = "optserve:deadlines"
"""Sorted set of ``tenant/id`` of running jobs that have a time limit, by the time at which it is
reached."""
ROWS = "optserve:rows:%s:%s:%s"
"""(tenant, id, chunk) -> string: `CHUNK_ROWS` rows of the job's series, packed as float64."""
# One key is enough for all jobs: a function runs alone, and renames the key before it returns.
TRIMMED = "optserve:trimmed"
"""String that exists only within a call: a copy of another string, without spare memory."""
MARKS = "optserve:marks:%s:%s"
"""(tenant, id) -> string: pairs of uint32 that tell when rows were stored: a number of rows, and
the hundredths of a second that the job had been trained when it had that many. Both numbers grow
from pair to pair; the last pair is for the last row."""
EVALUATIONS = "optserve:evaluations:%s:%s"
"""(tenant, id) -> hash: step -> the evaluation at that step, as JSON."""
EVENTS = "optserve:events:%s:%s"
"""(tenant, id) -> list of JSON: the job's history, an entry for each event. Older entries may have
been moved to files in the storage, or all entries if the job has ended: see the record's fields
``history`` and ``archive``. The record's field ``rev`` counts all entries."""
ENDED = "optserve:ended"
"""Sorted set of ``tenant/id`` of jobs that have ended, by the time at which they ended."""
BYTES = "optserve:bytes"
"""Hash: ``tenant/id`` of an ended job -> the total bytes of its files; ``all`` -> the sum over all
ended jobs."""
# Names on the server stay as they are: 0.1.0 uses this one, perhaps at the same time.
UNMEASURED = "optserve:unweighed"
"""Set of ``tenant/id`` of ended jobs whose files have not been measured."""
UNARCHIVED = "optserve:unarchived"
"""Sorted set of ``tenant/id`` of ended jobs whose rows are still in Redis, by the time from which
on they may be moved to a file."""
REMOVED = "optserve:removed"
"""Sorted set of ``tenant/id`` of removed jobs whose files are still to be deleted, by the time from
which on they may be deleted."""
STORE_ID = "optserve:store"
"""String: a random name for this Redis server's data; a file in the storage holds the same name."""
STORAGE_NAMED = "optserve:storage_named"
"""String that exists once a file in the storage holds the name in `STORE_ID`. From then on, a
storage without that file belongs to another store, or is not mounted."""
WORKERS = "optserve:workers"
"""Sorted set of worker ids, by the time at which the worker counts as gone."""
WORKER = "optserve:worker:%s"
"""(id) -> hash: the worker's record, from its heartbeats."""
CLASSES = "optserve:classes"
"""Set of the existing classes of workers. A class is ``device/fingerprint``; the workers in a class
may take the same jobs."""
CLASS = "optserve:class:%s:%s"
"""(state, class) -> sorted set of the workers in a class that are idle, busy or unwell, by the time
at which they count as gone."""
ADOPTED = "optserve:adopted"
"""String that exists for some seconds after workers of release 0.1.0 were put into classes."""
FINGERPRINTS = "optserve:fingerprints"
"""Sorted set of the fingerprints of workers, by the time at which a worker last had them."""
COUNTERS = "optserve:counters"
"""Hash: what has happened since the store was created: steps, attempts, how attempts ended, how
long jobs were queued (a histogram in milliseconds), and ``held_up_ms``: the milliseconds for which
training paused because too many rows were not stored."""
TENANTS = "optserve:tenants"
"""Set of the tenants that have ever submitted a job."""
QUEUED_SINCE = "optserve:queued_since"
"""Sorted set of ``tenant/id`` of queued jobs, by the time at which they were queued."""
LIBRARIES = "optserve:libraries"
"""Sorted set of the names of function libraries, by the time at which they were last used."""
SET_ASIDE = "optserve:set_aside"
"""Hash: a kind of work, a space, and the entry on which the work failed (``archive tenant/id``) ->
JSON: since when the work has failed, how often, and why."""
LONG_HISTORIES = "optserve:long_histories"
"""Sorted set of ``tenant/id`` of jobs with long histories, by the time from which on their older
entries may be moved to a file."""
DURATIONS = "optserve:durations:%s:%s"
"""(likeness of a plan, fingerprint) -> list: for each of the last jobs with that plan that machines
with that fingerprint trained in one attempt, the latest first: its milliseconds and its steps."""
RUNG = "optserve:rung:%s"
"""(device) -> the time at which the reaper last repeated a doorbell message for that device."""

TEMPLATES = {
    "job": JOB,
    "jobs": JOBS,
    "jobs_in_state": JOBS_IN_STATE,
    "labelled": LABELLED,
    "indexed": INDEXED,
    "indexing": INDEXING,
    "idempotency": IDEMPOTENCY,
    "number": NUMBER,
    "pending": PENDING,
    "waiting": WAITING,
    "lanes": LANES,
    "leases": LEASES,
    "deadlines": DEADLINES,
    "rows": ROWS,
    "trimmed": TRIMMED,
    "marks": MARKS,
    "evaluations": EVALUATIONS,
    "events": EVENTS,
    "ended": ENDED,
    "bytes": BYTES,
    "unmeasured": UNMEASURED,
    "unarchived": UNARCHIVED,
    "removed": REMOVED,
    "store_id": STORE_ID,
    "storage_named": STORAGE_NAMED,
    "workers": WORKERS,
    "worker": WORKER,
    "classes": CLASSES,
    "class": CLASS,
    "adopted": ADOPTED,
    "libraries": LIBRARIES,
    "set_aside": SET_ASIDE,
    "long_histories": LONG_HISTORIES,
    "fingerprints": FINGERPRINTS,
    "durations": DURATIONS,
    "rung": RUNG,
    "counters": COUNTERS,
    "tenants": TENANTS,
    "queued_since": QUEUED_SINCE,
}
"""The names by which the Lua functions refer to the keys."""


def queue_name(device: str) -> str:
    """Return the name of the RQ queue that the workers with *device* listen on."""
    return f"optserve-{device}"
