"""
The server's functions as Python calls, for a blocking and for an async client alike.

Each function here returns a `Call`: what to send and how to read the reply. `send` and `asend`
do it. A call may be repeated: a second one with the same arguments changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Generic, Literal, TypeVar

import redis
import redis.asyncio

from jobs.keys import TEMPLATES
from jobs.record import Record

T = TypeVar("T")

CHUNK_ROWS = 4096
"""Rows per key of a series."""
MAX_CRASHES = 3
"""Workers that may die of a job, one after another, without a new checkpoint."""
RING_AFTER_MS = 5_000
"""Milliseconds a job may wait beside an idle worker before the bell is rung again."""


class Fenced(Exception):
    """The job was taken from this worker: whatever it computes now belongs to nobody."""


class Gap(Exception):
    """
    Rows are missing before those that were sent.

    Attributes:
        rows: how many the store has.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"the store has {rows} rows and was sent later ones")
        self.rows = rows


class ReplayDiffers(Exception):
    """
    A step was computed again and came out different.

    Attributes:
        step: which.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step} was computed again and differs from what was stored")
        self.step = step


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of a server-side function."""

    name: str
    args: Sequence[object]
    read: Callable[[Any], T]


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
    """

    jobs: list[str]
    bells: list[str]


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


def send(client: redis.Redis, call: Call[T]) -> T:
    """Send *call* and return what it says."""
    return call.read(client.fcall(f"optserve_{call.name}", 0, *call.args))


async def asend(client: redis.asyncio.Redis, call: Call[T]) -> T:
    """Send *call* and return what it says."""
    return call.read(await client.fcall(f"optserve_{call.name}", 0, *call.args))


def library() -> str:
    """Return the source of the functions, with every key filled in."""
    source = resources.files("jobs").joinpath("functions.lua").read_text()
    table = ", ".join(f"{name} = {json.dumps(template)}" for name, template in TEMPLATES.items())
    filled = {
        "@KEYS@": f"{{{table}}}",
        "@CHUNK_ROWS@": str(CHUNK_ROWS),
        "@MAX_CRASHES@": str(MAX_CRASHES),
        "@RING_AFTER_MS@": str(RING_AFTER_MS),
    }
    for mark, value in filled.items():
        source = source.replace(mark, value)
    return source


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
    key = hashlib.sha256(idempotency_key.encode()).hexdigest() if idempotency_key else ""
    flat = [part for pair in fields.items() for part in pair]

    def read(reply: list[Any]) -> Submitted:
        record = _record(reply[2])
        assert record is not None
        return Submitted(_text(reply[0]), record, _texts(reply[1]))  # type: ignore[arg-type]

    return Call("submit", [tenant, job_id, key, body_sha, *flat], read)


def ask(
    tenant: str, job_id: str, action: Literal["cancel", "kill", "pause", "resume"]
) -> Call[Asked]:
    """Ask for *action*: a running job's worker hears of it, another job is moved at once."""
    args = [tenant, job_id, action]
    return Call("ask", args, lambda reply: Asked(_record(reply[1]), _texts(reply[0])))


# ------------------------------------------------------------------ workers


def hello(worker: str, *, ttl_ms: int, **fields: str | int) -> Call[None]:
    """Say that *worker* is alive, and will be for *ttl_ms*."""
    flat = [part for pair in fields.items() for part in pair]
    return Call("hello", [worker, ttl_ms, *flat], lambda reply: None)


def bye(worker: str) -> Call[None]:
    """Say that *worker* leaves."""
    return Call("bye", [worker], lambda reply: None)


def claim(worker: str, device: str, token: str, *, lease_ms: int) -> Call[Record | None]:
    """Take the next runnable job for *device*, if there is one."""
    return Call("claim", [worker, device, token, lease_ms], _record)


def renew(held: Held, *, lease_ms: int) -> Call[str]:
    """Keep the job for *lease_ms* more; the call returns what its client asks for, or ''."""
    return Call("renew", [*held.args, lease_ms], lambda reply: _text(_checked(reply)[1]))


def append(held: Held, *, first: int, width: int, data: bytes, lease_ms: int) -> Call[str]:
    """
    Store rows from row *first* on; the call returns what the client asks for, or ''.

    Rows that are there already must be equal: that is how a resumed run proves itself.

    Args:
        held: by this attempt.
        first: number of the first row in *data*.
        width: bytes of a row.
        data: whole rows.
        lease_ms: the lease is extended by this much.
    """
    args = [*held.args, first, width, data, lease_ms]
    return Call("append", args, lambda reply: _text(_checked(reply)[2]))


def evaluated(held: Held, *, step: int, data: Mapping[str, Any]) -> Call[None]:
    """Store an evaluation after *step* updates; one that is there already must be equal."""
    args = [*held.args, step, json.dumps(data)]

    def read(reply: list[bytes]) -> None:
        if _text(reply[0]) == "differs":
            raise ReplayDiffers(step)
        _checked(reply)

    return Call("evaluated", args, read)


def checkpointed(held: Held, *, step: int, path: str, sha256: str, digest: str) -> Call[None]:
    """Point the record at a checkpoint: from now on the job continues there."""
    args = [*held.args, step, path, sha256, digest]
    return Call("checkpointed", args, _accepted)


def noted(held: Held, *, kind: str, data: Mapping[str, Any]) -> Call[None]:
    """Add a remark to the job's history."""
    args = [*held.args, kind, json.dumps(data)]
    return Call("noted", args, _accepted)


def finish(
    held: Held,
    *,
    rows: int,
    digest: str,
    result: Mapping[str, Any],
    artifacts: Mapping[str, Any],
) -> Call[None]:
    """End the job: all its rows are stored and its files written."""
    args = [*held.args, rows, digest, json.dumps(result), json.dumps(artifacts)]
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


def reap(*, limit: int) -> Call[Reaped]:
    """Take back what lost its lease, and find out whose bell must be rung (again)."""
    return Call("reap", [limit], lambda reply: Reaped(_texts(reply[0]), _texts(reply[1])))


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
