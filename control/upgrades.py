"""Rounds for what earlier releases left in the store: jobs without labels, old functions."""

from __future__ import annotations

import logging

import redis

from store.jobs import calls
from store.redis.functions import send
from store.redis.server import remove_unused_libraries

log = logging.getLogger(__name__)

CALLS_PER_ROUND = 5
"""Calls of the server that index 500 jobs each, at most."""


class Labels:
    """Indexes jobs by their labels that a release without that index has accepted."""

    name = "labels"
    period_s = 1.0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def run(self) -> None:
        """Index some jobs."""
        # How far the walk is stands in the store: several processes continue one and the same.
        for _ in range(CALLS_PER_ROUND):
            if not send(self._client, calls.index_labels()):
                return


class Libraries:
    """Removes the functions of releases that no process runs any more."""

    name = "libraries"
    period_s = 600.0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def run(self) -> None:
        """Remove those that have not been used for long."""
        for name in remove_unused_libraries(self._client):
            log.info("the functions %s were not used for long and are removed", name)
