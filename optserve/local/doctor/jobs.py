"""Checks of jobs: their records are consistent, and their files exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import redis

from optserve.contract.states import State
from optserve.local.doctor.findings import Finding, Home
from store.errors import RecordUnreadable
from store.jobs.record import Record
from store.redis import keys
from store.storage.storage import Storage

BATCH_SIZE = 500
MAX_NAMED = 3
"""Maximum number of jobs that a finding names."""
RUNNING, QUEUED = frozenset({State.RUNNING}), frozenset({State.QUEUED})
FINAL = frozenset(state for state in State if state.final)
MEMBERS = {
    "leases": (keys.LEASES, RUNNING),
    "deadlines": (keys.DEADLINES, RUNNING),
    "waits": (keys.QUEUED_SINCE, QUEUED),
    "endings": (keys.ENDED, FINAL),
    "to be archived": (keys.UNARCHIVED, FINAL),
}
"""Name -> key of a sorted set of ``tenant/id``, and the states of the jobs that belong in the
set."""


def check_members(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether the store's sets of jobs contain only jobs in a state that fits the set."""
    for name, (key, states) in MEMBERS.items():
        odd = _twice(partial(_odd, client, key, states))
        subject = f"jobs: {name}"
        if odd:
            message = f"{_named(odd)} should not be in this set"
            yield Finding(
                subject,
                message,
                "--repair removes these jobs from the set",
                _removes(client, key, odd),
            )
        else:
            yield Finding(
                subject, f"{_counted(client.zcard(key), 'job')} in this set, none misplaced"
            )


def check_running(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether each running job has a lease; a job without a lease is never requeued."""
    stuck = _twice(lambda: _without_lease(client))
    if not stuck:
        yield Finding("jobs: running", "each running job has a lease")
        return

    def end() -> str:
        # A lease that expired in 1970: the reaper requeues the job in its next round.
        client.zadd(keys.LEASES, dict.fromkeys(map(_bytes, stuck), 0))
        return f"{_counted(len(stuck), 'job')} will be requeued as soon as the service runs"

    message = f"{_named(stuck)} run without a lease"
    yield Finding("jobs: running", message, "--repair lets the service requeue these jobs", end)


def check_records(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether the records of jobs can be read."""
    odd = _twice(lambda: [job for job, record in _records(client) if not _is_whole(record)])
    yield _finding("jobs: records", odd, "have records that cannot be read", "remove these jobs")


def check_archives(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether the archive files of ended jobs exist, with the recorded size."""
    storage = Storage(home.settings.storage_dir)

    def odd() -> list[str]:
        return [
            job
            for job, record in _records(client)
            if _is_whole(record)
            and any(storage.size(file.path) != file.size for file in record.archive.values())
        ]

    message = "have lost rows or history: their files are missing, or have the wrong size"
    todo = "mount the right storage, or restore the files"
    yield _finding("jobs: archives", _twice(odd), message, todo)


def check_checkpoints(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether each job that must start from a stored state has at least one such state."""
    storage = Storage(home.settings.storage_dir)

    def odd() -> list[str]:
        return [
            job
            for job, record in _records(client)
            if _is_whole(record)
            and not record.state.final
            and (begins := _begins_with(record))
            and not any(storage.size(path) for path in begins)
        ]

    message = "have lost their checkpoints, or their starting state"
    todo = "mount the right storage before these jobs continue"
    yield _finding("jobs: checkpoints", _twice(odd), message, todo)


def _begins_with(record: Record) -> list[str]:
    """
    Return the files from which a job can start; the job needs at least one of them.

    These are the job's checkpoints. A clone without a checkpoint starts from its own copy of a
    state of another job. Any other job without a checkpoint needs no file, and the list is empty.
    """
    if record.checkpoints:
        return [pointer.path for pointer in record.checkpoints]
    return [] if record.starting_state is None else [record.starting_state.path]


def _finding(subject: str, odd: Sequence[str], message: str, todo: str) -> Finding:
    if odd:
        return Finding(subject, f"{_named(odd)} {message}", todo)
    return Finding(subject, "no problem found")


def _twice(look: Callable[[], list[str]]) -> list[str]:
    """
    Return the jobs that two calls of *look* both return; *look* returns jobs with a problem.

    One call is not enough: if the service changes a job during the call, the job may seem to have a
    problem.
    """
    found = look()
    return [job for job in look() if job in set(found)] if found else []


def _odd(client: redis.Redis, key: str, states: frozenset[State]) -> list[str]:
    """Return the jobs in the set *key* that have no record, or a state that is not in *states*."""
    members = _members(client, key)
    # In two calls, between which a job may change its state; `_twice` drops such a job.
    found = zip(members, _fields(client, members), strict=True)
    return [member for member, record in found if record.get("state") not in states]


def _without_lease(client: redis.Redis) -> list[str]:
    running = [
        f"{tenant}/{job_id}"
        for tenant in _tenants(client)
        for job_id in _members(client, keys.JOBS_IN_STATE % (tenant, State.RUNNING))
    ]
    # Read after the running jobs: a job that is claimed in between seems to have a lease too many,
    # not too few.
    leased = set(_members(client, keys.LEASES))
    return [job for job in running if job not in leased]


def _is_whole(record: Record) -> bool:
    try:
        record.job()
    except RecordUnreadable:
        return False
    return True


def _records(client: redis.Redis) -> Iterator[tuple[str, Record]]:
    """Yield ``tenant/id`` and the record of each job; empty if Redis has no hash for the job."""
    for tenant in _tenants(client):
        jobs = [f"{tenant}/{job_id}" for job_id in _members(client, keys.JOBS % tenant)]
        yield from zip(jobs, map(Record, _fields(client, jobs)), strict=True)


def _fields(client: redis.Redis, jobs: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the fields of each job's record; {} if Redis has no hash for the job."""
    for first in range(0, len(jobs), BATCH_SIZE):
        pipe = client.pipeline(transaction=False)
        for job in jobs[first : first + BATCH_SIZE]:
            tenant, _, job_id = job.partition("/")
            pipe.hgetall(_bytes(keys.JOB % (tenant, job_id)))
        # A damaged key may hold another type; its error must not hide the other jobs.
        for raw in pipe.execute(raise_on_error=False):
            found = raw if isinstance(raw, dict) else {}
            yield {_text(name): _text(value) for name, value in found.items()}


def _tenants(client: redis.Redis) -> list[str]:
    found: Any = client.smembers(keys.TENANTS)
    return sorted(map(_text, found))


def _members(client: redis.Redis, key: str) -> list[str]:
    found: Any = client.zrange(key, 0, -1)
    return list(map(_text, found))


def _removes(client: redis.Redis, key: str, members: Sequence[str]) -> Callable[[], str]:
    def remove() -> str:
        client.zrem(key, *map(_bytes, members))
        return f"{_counted(len(members), 'job')} removed from the set"

    return remove


def _text(raw: bytes) -> str:
    """Return *raw* as text, even if it is not UTF-8; `_bytes` turns the text back into *raw*."""
    return raw.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _named(jobs: Sequence[str]) -> str:
    more = f" and {len(jobs) - MAX_NAMED} more" if len(jobs) > MAX_NAMED else ""
    return ", ".join(jobs[:MAX_NAMED]) + more


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
