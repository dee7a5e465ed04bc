"""Calls to a store that may be away: they are retried while training continues."""

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
"""Seconds after which a store that stays away is an error."""
# A worker promises to save its job and give it back within 8 s of SIGTERM; the rest is for that.
GIVE_UP_WHEN_LEAVING_S = 4.0
"""The same once the worker was told to leave: it is killed soon after."""
RETRY_S = 0.25
"""Seconds between two tries."""


class RetryingSender:
    """
    Sends calls, and sends them again until the store answers. A repeated call changes nothing.

    Args:
        client: of the store; does not retry by itself.
        leaving: set when the worker was told to leave.

    Attributes:
        retrying: whether a call is waiting for a store that is away.
    """

    def __init__(self, client: redis.Redis, leaving: threading.Event) -> None:
        self.retrying = False
        self._client, self._leaving = client, leaving

    def pipelined_writer(self) -> PipelinedWriter:
        """Return a writer of rows on a connection of its own; it does not retry."""
        return PipelinedWriter(self._client)

    def send(self, call: Call[T]) -> T:
        """
        Send *call* and return its answer.

        Raises:
            RedisError: the store stayed away for too long, or rejects the call.
        """
        began = time.monotonic()
        logged = False
        while True:
            try:
                answer = send(self._client, call)
            # Anything else is no outage: sent again, the call would be refused again.
            except UNAVAILABLE as error:
                self.retrying = True
                if not logged:
                    log.warning("%s is retried: the store is away: %s", call.name, error)
                    logged = True
                limit = GIVE_UP_WHEN_LEAVING_S if self._leaving.is_set() else GIVE_UP_AFTER_S
                if time.monotonic() - began > limit:
                    raise
            else:
                self.retrying = False
                return answer
            # The pause does not grow: most restarts take a second, and rows wait meanwhile.
            time.sleep(RETRY_S)
