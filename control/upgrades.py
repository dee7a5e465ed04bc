"""
Rounds that are needed after an upgrade of the service.

One round adds the jobs of release 0.1.0 to the index of labels. The other round removes Lua
functions that are no longer used.
"""

from __future__ import annotations

import logging

import redis

from store.jobs import calls
from store.redis.functions import send
from store.redis.server import remove_unused_libraries

log = logging.getLogger(__name__)

CALLS_PER_ROUND = 5
"""Maximum number of calls per run of the round; each call indexes up to 500 jobs."""


class Labels:
    """Round that adds the jobs that release 0.1.0 accepted to the index of labels."""

    name = "labels"
    period_s = 1.0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def run(self) -> None:
        """Add some of the jobs that are not in the index of labels yet."""
        # The progress is stored in Redis: several processes continue the same walk over the jobs.
        for _ in range(CALLS_PER_ROUND):
            if not send(self._client, calls.index_labels()):
                return


class Libraries:
    """Round that removes Lua functions of other releases that no process has used for a week."""

    name = "libraries"
    period_s = 600.0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def run(self) -> None:
        """Remove the function libraries that no process has used for a week."""
        for name in remove_unused_libraries(self._client):
            log.info("the function library %s was removed: no process used it for a week", name)
