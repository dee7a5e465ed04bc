"""Sends calls to Redis, and retries while Redis is unavailable; training continues meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from typing import TypeVar

import redis

from store.redis.functions import UNAVAILABLE, Call, send
from worker.reporting.pipelined import PipelinedWriter

log = logging.getLogger(__name__)

T = TypeVar("T")

GIVE_UP_AFTER_S = 600.0
"""Seconds of retries after which a call's error is raised."""
# A worker promises to save its run and release its job within 8 s of SIGTERM; the rest of the 8 s
# is for that.
GIVE_UP_WHEN_LEAVING_S = 4.0
"""Seconds of retries after which a call's error is raised, while the worker is stopping."""
RETRY_S = 0.25
"""Seconds between two tries to send a call."""


class RetryingSender:
    """
    Sends calls to Redis, and retries while Redis is unavailable. Repeating a call does no harm.

    Args:
        client: the Redis client, which does not retry by itself.
        leaving: an event that is set when the worker should stop.

    Attributes:
        retrying: whether a call is being retried because Redis is unavailable.
    """

    def __init__(self, client: redis.Redis, leaving: threading.Event) -> None:
        self.retrying = False
        self._client, self._leaving = client, leaving

    def pipelined_writer(self) -> PipelinedWriter:
        """Return a writer for rows, which has a separate connection and does not retry."""
        return PipelinedWriter(self._client)

    def send(self, call: Call[T]) -> T:
        """
        Send *call* and return its result.

        Raises:
            RedisError: Redis was unavailable for too long, or rejected the call.
        """
        began = time.monotonic()
        logged = False
        while True:
            try:
                answer = send(self._client, call)
            # Other errors are no outage: if the call was sent again, it would fail again.
            except UNAVAILABLE as error:
                self.retrying = True
                if not logged:
                    log.warning("%s is retried: Redis is unavailable: %s", call.name, error)
                    logged = True
                limit = GIVE_UP_WHEN_LEAVING_S if self._leaving.is_set() else GIVE_UP_AFTER_S
                if time.monotonic() - began > limit:
                    raise
            else:
                self.retrying = False
                return answer
            # The pause does not grow: most restarts of Redis take a second, and rows wait
            # meanwhile.
            time.sleep(RETRY_S)
