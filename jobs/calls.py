"""The calls of the server's functions, one for each: who may make them, with what, for what."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobs.functions import OVERTIME_MS, Call, Fenced, Gap, ReplayDiffers
from jobs.record import Record
from jobs.spec.states import Ending


@dataclass(frozen=True)
class Submitted:
    """
    What became of a submission.

    Attributes:
        outcome: created; replayed (the key and body were seen before); conflict (the key was
            seen with another body).
        record: of the job that was made, or that the key belongs to.
        bells: devices whose idle workers should hear of it.
    """

    outcome: Literal["created", "replayed", "conflict"]
    record: Record
    bells: list[str]


@dataclass(frozen=True)
class Asked:
    """
    A job after its client asked for something.

    Attributes:
        record: None if there is no such job.
        bells: devices whose idle workers should hear of it.
    """

    record: Record | None
    bells: list[str]


@dataclass(frozen=True)
class Changed:
    """
    A job after its client wanted it to go on otherwise.

    Attributes:
        outcome: ok; or why nothing was changed: there is no such job, a worker has it, it has
            ended.
        record: None if there is no such job.
        bells: devices whose idle workers should hear of it.
    """

    outcome: Literal["ok", "missing", "running", "ended"]
    record: Record | None
    bells: list[str]


@dataclass(frozen=True)
class Released:
    """
    A job after its worker gave it back.

    Attributes:
        state: the job's; or ``already``: it was given back before.
        bells: devices whose idle workers should hear of it.
    """

    state: str
    bells: list[str]


@dataclass(frozen=True)
class Reaped:
    """
    What the reaper did.

    Attributes:
        jobs: ``tenant/id`` of each job that lost its lease.
        bells: devices whose idle workers should hear that there is work.
        overtime: ``tenant/id`` of each job that was trained on after its time was over.
    """

    jobs: list[str]
    bells: list[str]
    overtime: list[str]


@dataclass(frozen=True)
class Owned:
    """
    Which of its files a job may need, and who may write more.

    Attributes:
        attempt: the one that a worker is at; 0 for none.
        token: how that attempt's token begins.
        paths: of checkpoints, artifacts and what it was cloned from, below the storage root.
    """

    attempt: int
    token: str
    paths: list[str]


@dataclass(frozen=True)
class Monitored:
    """
    How the service is, and what it has done.

    Attributes:
        queued: lane -> jobs that wait there; those of a fingerprint together.
        jobs: state -> jobs.
        workers: ``device/state`` -> workers that are alive.
        oldest_ms: since when that job waits which has waited longest; None if none waits.
        lease_ms: until the lease is over that is over first; None if there is none.
        counters: what has happened since the store was made.
    """

    queued: dict[str, int]
    jobs: dict[str, int]
    workers: dict[str, int]
    oldest_ms: int | None
    lease_ms: int | None
    counters: dict[str, int]


@dataclass(frozen=True)
class Held:
    """
    Proof that a job is still this worker's.

    Attributes:
        tenant: the job's.
        job_id: the job's.
        token: random, known to this attempt alone.
    """

    tenant: str
    job_id: str
    token: str

    @property
    def args(self) -> tuple[str, str, str]:
        """The first arguments of every write."""
        return (self.tenant, self.job_id, self.token)


# ------------------------------------------------------------------ clients


def submit(
    tenant: str, job_id: str, fields: Mapping[str, str], *, idempotency_key: str, body_sha: str
) -> Call[Submitted]:
    """
    Put a new job into the queue.

    Args:
        tenant: whose job.
        job_id: new, and unique.
        fields: of the record: name, labels, spec, device, priority, ...
        idempotency_key: the client's, or empty.
        body_sha: tells whether the same key comes with the same body.
    """
    key = _hashed(idempotency_key) if idempotency_key else ""
    flat = [part for pair in fields.items() for part in pair]
    return Call("submit", [tenant, job_id, key, body_sha, *flat], _submitted)


def recall(tenant: str, *, idempotency_key: str, body_sha: str) -> Call[Submitted | None]:
    """Return what became of an earlier submission with this key, or None if there was none."""

    def read(reply: list[Any]) -> Submitted | None:
        return None if _text(reply[0]) == "none" else _submitted(reply)

    return Call("recall", [tenant, _hashed(idempotency_key), body_sha], read)


def ask(
    tenant: str, job_id: str, action: Literal["cancel", "kill", "pause", "resume"]
) -> Call[Asked]:
    """Ask for *action*: a running job's worker hears of it, another job is moved at once."""
    args = [tenant, job_id, action]
    return Call("ask", args, lambda reply: Asked(_record(reply[1]), _texts(reply[0])))


def restart(tenant: str, job_id: str) -> Call[Changed]:
    """
    Let a waiting job begin again: rows, checkpoints and fingerprint are forgotten.

    One that has nothing to forget is left as it is.
    """
    return Call("restart", [tenant, job_id], _changed)


def accept(tenant: str, job_id: str) -> Call[Changed]:
    """
    Let a waiting job go on from its checkpoint where bits come out differently.

    Rows after the checkpoint are cut. A job that any worker may have is left as it is.
    """
    return Call("accept", [tenant, job_id], _changed)


def look(tenant: str, job_id: str, *, listed: bool = False) -> Call[Record | None]:
    """Return a job's record, or None if there is no such job; for a list, without its place."""
    return Call("look", [tenant, job_id, int(listed)], _record)


def monitored() -> Call[Monitored]:
    """Return how the whole service is, and what it has done."""

    def counts(flat: list[Any]) -> dict[str, int]:
        names = _texts(flat[::2])
        return dict(zip(names, map(int, flat[1::2]), strict=True))

    def read(reply: list[Any]) -> Monitored:
        queued, jobs, workers, oldest, lease, counters = reply
        return Monitored(
            counts(queued), counts(jobs), counts(workers), oldest, lease, counts(counters)
        )

    return Call("monitored", [], read)


# ------------------------------------------------------------------ workers


def hello(worker: str, *, ttl_ms: int, held: Held | None, **fields: str | int) -> Call[None]:
    """
    Say that *worker* is alive, and will be for *ttl_ms*.

    Args:
        worker: its id.
        ttl_ms: after so many milliseconds of silence it counts as gone.
        held: the job it has, in case its record was lost meanwhile.
        fields: device, fingerprint, host, pid.
    """
    job = json.dumps([held.tenant, held.job_id]) if held else ""
    flat = [part for pair in fields.items() for part in pair]
    args = [worker, ttl_ms, job, held.token if held else "", *flat]
    return Call("hello", args, lambda reply: None)


def bye(worker: str) -> Call[None]:
    """Say that *worker* leaves."""
    return Call("bye", [worker], lambda reply: None)


def claim(
    worker: str, *, device: str, fingerprint: str, token: str, lease_ms: int
) -> Call[Record | None]:
    """
    Take the next runnable job, if there is one.

    Args:
        worker: who takes it.
        device: jobs for it, or for any, are runnable.
        fingerprint: jobs that were begun where bits come out the same are runnable too.
        token: random; proves from now on that the job is this attempt's.
        lease_ms: how long the job is held without a renewal.
    """
    return Call("claim", [worker, device, fingerprint, token, lease_ms], _record)


def begun(held: Held, *, fingerprint: str, facts: Mapping[str, str]) -> Call[int | None]:
    """
    Say on what the job is computed.

    The call returns the row since which the job's bits are those of *fingerprint*: a checkpoint
    made before or there is of other bits. It returns None if only a worker with another
    fingerprint may go on. Where any worker may (the run is not exact), rows of another one that
    come after the last checkpoint are cut.

    Args:
        held: by this attempt.
        fingerprint: equal where bits are equal.
        facts: what it stands for, and what a later attempt must set up to be equal.
    """
    args = [*held.args, fingerprint, json.dumps(facts)]

    def read(reply: list[Any]) -> int | None:
        if _text(reply[0]) == "differs":
            return None
        return int(_checked(reply)[1])

    return Call("begun", args, read)


def renew(held: Held, *, lease_ms: int) -> Call[str]:
    """Keep the job for *lease_ms* more; the call returns what is to be done with it, or ''."""
    return Call("renew", [*held.args, lease_ms], lambda reply: _text(_checked(reply)[1]))


def append(
    held: Held, *, first: int, width: int, data: bytes, lease_ms: int, held_up_ms: int = 0
) -> Call[str]:
    """
    Store rows from row *first* on; the call returns what the client asks for, or ''.

    Rows that are there already must be equal in what was computed: that is how a resumed run
    proves itself. What was only observed is overwritten.

    Args:
        held: by this attempt.
        first: number of the first row in *data*; row i is the i-th update that was attempted.
        width: bytes of a row.
        data: whole rows, as `jobs.metrics.Series` packs them.
        lease_ms: the lease is extended by this much.
        held_up_ms: milliseconds for which this attempt could not train so far, because too many
            rows were not stored.
    """
    args = [*held.args, first, width, data, lease_ms, held_up_ms]
    return Call("append", args, lambda reply: _text(_checked(reply)[2]))


def evaluated(held: Held, *, step: int, data: Mapping[str, Any]) -> Call[None]:
    """Store an evaluation after *step* updates; one that is there already must be equal."""
    return Call("evaluated", [*held.args, step, json_text(data)], _accepted)


def checkpointed(held: Held, *, step: int, path: str, sha256: str, digest: str) -> Call[list[str]]:
    """
    Point the record at a checkpoint: from now on the job continues there.

    The call returns the paths of all files that are still needed.

    Args:
        held: by this attempt.
        step: rows there were when it was made; the next attempt's first row.
        path: below the storage root.
        sha256: of its facts.
        digest: of every tensor of the run, for the history.
    """
    args = [*held.args, step, path, sha256, digest]
    return Call("checkpointed", args, lambda reply: _texts(_checked(reply)[1:]))


def best_kept(
    held: Held, *, step: int, path: str, sha256: str, metric: str, value: float
) -> Call[list[str]]:
    """
    Point the record at the best state so far; the last call counts, also on replay.

    The call returns the paths of all files that are still needed.

    Args:
        held: by this attempt.
        step: rows there were when it was found.
        path: of its checkpoint, below the storage root.
        sha256: of the checkpoint's facts.
        metric: what it is best in.
        value: of that metric.
    """
    args = [*held.args, step, path, sha256, metric, repr(float(value))]
    return Call("best_kept", args, lambda reply: _texts(_checked(reply)[1:]))


def refused(held: Held, *, path: str, why: str) -> Call[None]:
    """
    Forget a checkpoint that cannot be used; the one before it takes its place.

    Rows after that one are cut if they were computed where bits come out differently.
    """
    return Call("refused", [*held.args, path, why], _accepted)


def noted(held: Held, *, kind: str, data: Mapping[str, Any]) -> Call[None]:
    """Add a remark to the job's history."""
    return Call("noted", [*held.args, kind, json_text(data)], _accepted)


def off_plan(
    held: Held, *, step: int, planned: float, applied: float, group: str = ""
) -> Call[None]:
    """Mark the job: the lr applied at *step*, the first such, is not planned for *group*."""
    data: dict[str, Any] = {"step": step, "planned": planned, "applied": applied}
    if group:
        data["group"] = group
    return Call("off_plan", [*held.args, step, json_text(data)], _accepted)


def finish(
    held: Held,
    *,
    rows: int,
    digest: str,
    result: Mapping[str, Any],
    artifacts: Mapping[str, Any],
    ended: Ending = "completed",
) -> Call[None]:
    """
    End the job: all its rows are stored and its files written.

    Args:
        held: by this attempt.
        rows: how many there are; must be what the store has.
        digest: of every tensor of the run.
        result: what it came to on the held-out examples.
        artifacts: name -> path, sha256 and size.
        ended: early_stopped: by its own choice before its last step, so with fewer rows.
    """
    args = [*held.args, rows, digest, json_text(result), json_text(artifacts), ended]
    return Call("finish", args, _accepted)


def fail(held: Held, *, reason: str, detail: str) -> Call[None]:
    """End the job: it cannot be trained."""
    args = [*held.args, reason, detail]
    return Call("fail", args, _accepted)


def release(held: Held, *, why: str, crashed: bool) -> Call[Released]:
    """
    Give the job back: to where its client wants it, else into the queue.

    Args:
        held: by this attempt.
        why: for the history.
        crashed: whether this counts towards `MAX_CRASHES`.
    """

    def read(reply: list[bytes]) -> Released:
        state, *bells = _texts(_checked(reply))
        return Released(state, bells)

    return Call("release", [*held.args, why, int(crashed)], read)


def reap(*, limit: int, lease_ms: int, overtime_ms: int = OVERTIME_MS) -> Call[Reaped]:
    """
    Take back what lost its lease, and find out whose bell must be rung (again).

    Args:
        limit: jobs taken back at a time.
        lease_ms: for so long after its start a server takes nothing back.
        overtime_ms: for so long a job whose time is over is left to its worker.
    """
    args = [limit, lease_ms, overtime_ms]
    return Call("reap", args, lambda reply: Reaped(*(_texts(part) for part in reply)))


# ------------------------------------------------------------------ keeping


def expire(
    *, limit: int, max_age_ms: int | None, max_jobs: int | None, max_bytes: int | None
) -> Call[list[str]]:
    """
    Remove the oldest of the jobs that have ended while one of the limits is passed.

    The call returns ``tenant/id`` of each; what is left of them is their files.

    Args:
        limit: at most so many at a time.
        max_age_ms: milliseconds since it ended.
        max_jobs: how many there are.
        max_bytes: of the files of all whose bytes are known.
    """
    limits = ["" if value is None else value for value in (max_age_ms, max_jobs, max_bytes)]
    return Call("expire", [limit, *limits], _texts)


def unarchived(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of jobs that have ended and whose rows are to be moved to a file.

    Args:
        limit: at most so many.
        pause_ms: for so long they are given to nobody else; then to whoever asks.
    """
    return Call("unarchived", [limit, pause_ms], _texts)


def archived(
    tenant: str, job_id: str, *, rows: int, entries: int, files: Mapping[str, Any]
) -> Call[Literal["ok", "already", "missing", "differs"]]:
    """
    Say that what the store has of the steps of a job that has ended lies in files; it goes.

    The call returns ok; already: other files are known, and count; missing: there is no such job
    any more; differs: the job has not ended, or has other rows or entries. Only ok changes
    anything.

    Args:
        tenant: the job's.
        job_id: the job's.
        rows: how many there are in the file.
        entries: how many the history had then.
        files: what was moved (rows, events) -> path, sha256 and size; what is not named stays.
    """
    args = [tenant, job_id, rows, entries, json_text(files)]
    return Call("archived", args, _text)  # type: ignore[arg-type]  # one of the outcomes


def unweighed(*, limit: int) -> Call[list[str]]:
    """Return ``tenant/id`` of jobs that have ended and whose bytes are not known."""
    return Call("unweighed", [limit], _texts)


def weighed(tenant: str, job_id: str, *, size: int) -> Call[None]:
    """Say how many bytes the files of a job have that has ended."""
    return Call("weighed", [tenant, job_id, size], lambda reply: None)


def removed(*, limit: int) -> Call[list[str]]:
    """Return ``tenant/id`` of jobs that are gone and whose files may still be there."""
    return Call("removed", [limit], _texts)


def swept(tenant: str, job_id: str) -> Call[None]:
    """Say that the files of a job that is gone are gone too."""
    return Call("swept", [tenant, job_id], lambda reply: None)


def owned(tenant: str, job_id: str) -> Call[Owned | None]:
    """Return which files a job may need, or None if there is no such job."""

    def read(reply: bytes | list[Any]) -> Owned | None:
        if isinstance(reply, bytes):
            return None
        attempt, token, *paths = reply
        return Owned(int(attempt), _text(token), _texts(paths))

    return Call("owned", [tenant, job_id], read)


def store_id(word: str) -> Call[str]:
    """Return what the store is called: *word*, if it has had no name."""
    return Call("store_id", [word], _text)


def version() -> Call[str]:
    """Return the version of the functions that the server has."""
    return Call("version", [], _text)


def json_text(data: Mapping[str, Any]) -> str:
    """Return *data* as JSON; NaN and infinities are the strings that clients know."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    plain = {
        name: names[str(value)] if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in data.items()
    }
    return json.dumps(plain, allow_nan=False)


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _submitted(reply: list[Any]) -> Submitted:
    record = _record(reply[2])
    assert record is not None
    # The server answers with one of the outcomes that the type lists.
    return Submitted(_text(reply[0]), record, _texts(reply[1]))  # type: ignore[arg-type]


def _changed(reply: list[Any]) -> Changed:
    # As above.
    return Changed(_text(reply[0]), _record(reply[2]), _texts(reply[1]))  # type: ignore[arg-type]


def _record(flat: list[bytes]) -> Record | None:
    """Return the record of a hash that came as a flat list, or None if it is empty."""
    return Record.from_hash(dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None


def _texts(values: list[bytes]) -> list[str]:
    return [_text(value) for value in values]


def _text(value: bytes) -> str:
    return value.decode()


def _accepted(reply: list[Any]) -> None:
    _checked(reply)


def _checked(reply: list[Any]) -> list[Any]:
    outcome = _text(reply[0])
    if outcome == "fenced":
        raise Fenced
    if outcome == "gap":
        raise Gap(int(reply[1]))
    if outcome == "differs":
        raise ReplayDiffers(int(reply[1]))
    return reply
