"""
The doorbell: an RQ message that says *there is work*.

It carries the id of a job, but the worker that answers takes the next runnable job, whichever that
is: a lost, doubled or late message changes nothing. The record is the truth.
"""

from __future__ import annotations

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from store.redis.keys import queue_name

# A name, which RQ imports in the worker: this package may not import `worker`, and the API and the
# reaper, which ring, need none of what a worker needs.
ANSWER = "worker.doorbell.answer"
"""The only function a message may name."""
FORGET_S = 3600
"""Seconds after which an unread message is dropped; the reaper rings again anyway."""
FOREVER = -1
"""RQ's own time limits would end a training; ours are in the protocol."""


def doorbell_queue(client: redis.Redis, device: str) -> Queue:
    """Return the RQ queue of the workers with *device*."""
    # RQ's default is pickle: write access to Redis would be a way to run code in a worker.
    return Queue(queue_name(device), connection=client, serializer=JSONSerializer)


def ring(client: redis.Redis, device: str, job_id: str) -> None:
    """Tell the workers with *device* that there is work."""
    # RQ picks an id for the message. With the job's as its own, a second ring would overwrite the
    # first one's hash and still stand in the queue twice.
    doorbell_queue(client, device).enqueue(
        ANSWER,
        job_id,
        job_timeout=FOREVER,
        ttl=FORGET_S,
        # RQ's defaults keep a result for 500 s and a failure for a year; nothing reads either.
        result_ttl=0,
        failure_ttl=FORGET_S,
        description=job_id,
    )
