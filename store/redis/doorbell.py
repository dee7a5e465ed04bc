"""
The doorbell: an RQ message that tells idle workers that a job is runnable.

The message contains the id of a job, but the worker that receives it claims the next runnable job,
whichever that is. So a message that is lost, late or delivered twice does no harm: only the job
records in Redis decide what is run.
"""

from __future__ import annotations

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from store.redis.keys import queue_name

# A name, which RQ imports in the worker: this package may not import `worker`, and the API and the
# reaper, which ring, need nothing that a worker needs.
ANSWER = "worker.doorbell.answer"
"""Name of the function that RQ calls for a message; no other function is allowed."""
FORGET_S = 3600
"""Seconds after which an unread message is deleted; the reaper sends another one anyway."""
FOREVER = -1
"""RQ's value for no time limit: a limit in RQ would end the training. Leases and the time limits of
jobs are checked elsewhere."""


def doorbell_queue(client: redis.Redis, device: str) -> Queue:
    """Return the RQ queue on which the workers with *device* receive messages."""
    # With pickle, RQ's default, write access to Redis would be enough to run code in a worker.
    return Queue(queue_name(device), connection=client, serializer=JSONSerializer)


def ring(client: redis.Redis, device: str, job_id: str) -> None:
    """Send a message to the workers with *device*: the job *job_id* is runnable."""
    # RQ chooses an id for the message. If it had the job's id, a second message would overwrite the
    # hash of the first one, and the queue would still contain the id twice.
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
