"""Every key in Redis, named once: here for Python, and filled into the Lua functions."""

from __future__ import annotations

JOB = "optserve:job:%s:%s"
"""(tenant, id) -> hash: the record."""
# Every score in these sets of ids is 0, and members of one score are ordered as bytes. Ids are
# UUIDs of version 7, which begin with their time.
JOBS = "optserve:jobs:%s"
"""(tenant) -> sorted set of ids, in lexical order, which is that of submission."""
JOBS_IN_STATE = "optserve:jobs:%s:%s"
"""(tenant, state) -> sorted set of ids, in lexical order."""
LABELLED = "optserve:labelled:%s:%s"
"""(tenant, name=value of a label) -> sorted set of the ids that carry it, in lexical order."""
INDEXED = "optserve:indexed"
"""number of the job up to which all jobs are in the sets of their labels; see ``labels.lua``."""
INDEXING = "optserve:indexing"
"""hash, while jobs are put into the sets of their labels afterwards: how far that is."""
IDEMPOTENCY = "optserve:idempotency:%s:%s"
"""(tenant, hash of the key) -> hash: id and sha of the body it was first used with."""
NUMBER = "optserve:number"
"""counter: jobs submitted so far."""
PENDING = "optserve:pending:%s:%s"
"""(lane, tenant) -> sorted set of ids by priority, then number. A lane is a device, or ``@`` and
the fingerprint of the workers that can continue a job bit for bit."""
WAITING = "optserve:waiting:%s"
"""(lane) -> set of tenants with pending jobs."""
LANES = "optserve:lanes"
"""set of lanes in which jobs wait."""
# ``tenant/id`` is taken apart at its first slash, here and in Lua: no tenant may have one.
LEASES = "optserve:leases"
"""sorted set of ``tenant/id`` by the millisecond at which the lease is over."""
DEADLINES = "optserve:deadlines"
"""sorted set of ``tenant/id`` of running jobs with a time limit, by the millisecond of its end."""
ROWS = "optserve:rows:%s:%s:%s"
"""(tenant, id, chunk) -> string: rows of float64 columns."""
# One key is enough for all jobs: a function runs alone, and renames it before it returns.
TRIMMED = "optserve:trimmed"
"""string, for a moment: a copy of another that takes no more memory than it needs."""
MARKS = "optserve:marks:%s:%s"
"""(tenant, id) -> string: pairs of uint32, how many rows there were and hundredths of a second
that the job had been trained for by then. Both grow; the last pair is that of the last row."""
EVALUATIONS = "optserve:evaluations:%s:%s"
"""(tenant, id) -> hash: step to JSON."""
EVENTS = "optserve:events:%s:%s"
"""(tenant, id) -> list of JSON: one entry per transition; how many is the record's revision. The
first ones may lie in the storage, or, of a job that has ended, all, as its record then says."""
ENDED = "optserve:ended"
"""sorted set of ``tenant/id`` of jobs that have ended, by the millisecond when they did."""
BYTES = "optserve:bytes"
"""hash: ``tenant/id`` of a job that has ended to the bytes of its files; ``all`` to their sum."""
# Names on the server stay as they are: 0.1.0 uses this one, maybe beside this release.
UNMEASURED = "optserve:unweighed"
"""set of ``tenant/id`` of jobs that have ended and whose bytes are not known."""
UNARCHIVED = "optserve:unarchived"
"""sorted set of ``tenant/id`` of jobs that have ended and whose rows are still here, by the
millisecond from which on they may be moved."""
REMOVED = "optserve:removed"
"""sorted set of ``tenant/id`` of jobs that are gone and whose files are to go, by millisecond."""
STORE_ID = "optserve:store"
"""random, made with the first job's storage: tells whose files lie there."""
STORAGE_NAMED = "optserve:storage_named"
"""string: the storage holds that name; one without it is not this store's, or not mounted."""
WORKERS = "optserve:workers"
"""sorted set of worker ids by the millisecond at which they count as gone."""
WORKER = "optserve:worker:%s"
"""(id) -> hash: what a worker says of itself."""
CLASSES = "optserve:classes"
"""set of the classes of workers there are: ``device/fingerprint``."""
CLASS = "optserve:class:%s:%s"
"""(state, class) -> sorted set of the workers of a class that are idle, busy or unwell, by the
millisecond at which they count as gone."""
ADOPTED = "optserve:adopted"
"""string, for some seconds: workers of the release before were just put into their classes."""
FINGERPRINTS = "optserve:fingerprints"
"""sorted set of fingerprints by the millisecond at which a worker last had them."""
COUNTERS = "optserve:counters"
"""hash: what has happened since the store was made: steps, attempts, how they ended, how long jobs
had waited, by classes of milliseconds, and ``held_up_ms``, for how long training waited because too
much of it was not stored yet."""
TENANTS = "optserve:tenants"
"""set of tenants that have had a job."""
QUEUED_SINCE = "optserve:queued_since"
"""sorted set of ``tenant/id`` of jobs that wait for a worker, by the millisecond since when."""
LIBRARIES = "optserve:libraries"
"""sorted set of the names of function libraries, by the millisecond when one was last used."""
SET_ASIDE = "optserve:set_aside"
"""hash: ``kind member`` of what could not be handled to JSON: since when, how often, why."""
LONG_HISTORIES = "optserve:long_histories"
"""sorted set of ``tenant/id`` of jobs whose history is long, by the millisecond from which on
its older entries may be moved to a file."""
RUNG = "optserve:rung:%s"
"""(device) -> millisecond of the last repair ring."""

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
    "rung": RUNG,
    "counters": COUNTERS,
    "tenants": TENANTS,
    "queued_since": QUEUED_SINCE,
}
"""The names under which the Lua functions know the keys."""


def queue_name(device: str) -> str:
    """Return the RQ queue that workers with *device* listen on."""
    return f"optserve-{device}"
