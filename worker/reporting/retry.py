"""Patience with a store that is away: training goes on, and what it has to say waits."""

from __future__ import annotations

import logging
import threading
import time
from typing import TypeVar

import redis

from store.redis.functions import UNAVAILABLE, Call, send
from worker.reporting.pipelined import Express

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 600.0
"""Seconds for which a store that is away is waited for."""
LEAVING_PATIENCE_S = 4.0
"""The same once the worker was told to leave: it is killed soon after."""
RETRY_S = 0.25
"""Seconds between two tries."""


class Patience:
    """
    Sends calls until the store takes them.

    Args:
        client: of the store; does not retry by itself.
        leaving: set when the worker was told to leave.

    Attributes:
        waits: whether somebody is waiting for a store that is away.
    """

    def __init__(self, client: redis.Redis, leaving: threading.Event) -> None:
        self.waits = False
        self._client, self._leaving = client, leaving

    def express(self) -> Express:
        """Return the way of rows that are not waited for: it has no patience."""
        return Express(self._client)

    def send(self, call: Call[T]) -> T:
        """
        Run *call* and return what it says, after as many tries as it takes.

        Raises:
            RedisError: the store stayed away for too long, or found the call wrong.
        """
        began = time.monotonic()
        told = False
        while True:
            try:
                answer = send(self._client, call)
            except UNAVAILABLE as error:
                self.waits = True
                if not told:
                    log.warning("%s waits: the store is away: %s", call.name, error)
                    told = True
                limit = LEAVING_PATIENCE_S if self._leaving.is_set() else PATIENCE_S
                if time.monotonic() - began > limit:
                    raise
            else:
                self.waits = False
                return answer
            time.sleep(RETRY_S)
