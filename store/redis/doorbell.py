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

ANSWER = "worker.doorbell.answer"
"""The only function a message may name."""
FORGET_S = 3600
"""Seconds after which an unread message is dropped; the reaper rings again anyway."""
FOREVER = -1
"""RQ's own time limits would end a training; ours are in the protocol."""


def doorbell_queue(client: redis.Redis, device: str) -> Queue:
    """Return the RQ queue of the workers with *device*."""
    return Queue(queue_name(device), connection=client, serializer=JSONSerializer)


def ring(client: redis.Redis, device: str, job_id: str) -> None:
    """Tell the workers with *device* that there is work."""
    doorbell_queue(client, device).enqueue(
        ANSWER,
        job_id,
        job_timeout=FOREVER,
        ttl=FORGET_S,
        result_ttl=0,
        failure_ttl=FORGET_S,
        description=job_id,
    )
