"""Reads the queue and the workers, as clients see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from optserve.contract.answers.workers import Lane, Queue, Worker
from optserve.contract.states import State
from store.jobs.record import moment
from store.redis import keys


async def read_workers(client: Any) -> list[Worker]:  # noqa: ANN401  redis-py has unions for all forms
    """Return the live workers."""
    ids = await client.zrange(keys.WORKERS, 0, -1)
    pipe = client.pipeline(transaction=False)
    for worker_id in ids:
        pipe.hgetall(keys.WORKER % worker_id.decode())
    # A worker's hash expires by itself; its entry in the set is removed in the reaper's next round.
    # And a claim may create the hash anew, with the claim alone, until the next heartbeat.
    return [_worker(raw) for raw in await pipe.execute() if b"host" in raw]


async def read_queue(client: Any, tenant: str) -> Queue:  # noqa: ANN401  as above
    """
    Return how many jobs of *tenant* are queued and running, and how many workers are alive.

    The queued jobs are also counted by lane. A lane contains the jobs that the same workers may
    take.
    """
    names = sorted(name.decode() for name in await client.smembers(keys.LANES))
    pipe = client.pipeline(transaction=False)
    for state in (State.QUEUED, State.RUNNING):
        pipe.zcard(keys.JOBS_IN_STATE % (tenant, state))
    for name in names:
        pipe.zcard(keys.PENDING % (name, tenant))
    queued, running, *waiting = await pipe.execute()
    workers = await read_workers(client)
    return Queue(
        queued=queued,
        running=running,
        workers=len(workers),
        idle_workers=sum(worker.state == "idle" for worker in workers),
        lanes=[
            _lane(name, count, workers) for name, count in zip(names, waiting, strict=True) if count
        ],
    )


def _lane(name: str, queued: int, workers: Sequence[Worker]) -> Lane:
    # A device's lane has no fingerprint: None equals no worker's fingerprint, which is text.
    fingerprint = name[1:] if name.startswith("@") else None
    takers = [
        worker
        for worker in workers
        if name in ("auto", worker.device) or worker.fingerprint == fingerprint
    ]
    return Lane(
        device=None if fingerprint else name,
        fingerprint=fingerprint,
        queued=queued,
        workers=len(takers),
        idle_workers=sum(worker.state == "idle" for worker in takers),
    )


def _worker(raw: Mapping[bytes, bytes]) -> Worker:
    fields: dict[str, Any] = {name.decode(): value.decode() for name, value in raw.items()}
    claimed = cast("list[str]", json.loads(fields["job"])) if fields["job"] else None
    fields |= {
        # In Redis the field keeps its first name, `unwell`: names there never change.
        "state": "unhealthy" if fields.get("unwell") else fields["state"],
        "unhealthy_reason": fields.get("unwell") or None,
        "job": claimed[1] if claimed else None,
        "started_at": moment(fields["since"]),
        "last_seen_at": moment(fields["seen"]),
    }
    return Worker.model_validate(fields)
