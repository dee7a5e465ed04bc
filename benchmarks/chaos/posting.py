"""Posts the jobs of a soak test."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from benchmarks.chaos.kinds import CLONES, spec_of
from optserve.client import Client
from optserve.client.errors import ClientError
from optserve.contract.answers.jobs import Job

log = logging.getLogger(__name__)

PATIENCE_S = 120.0
"""Seconds for which requests are retried while the service does not respond."""


class Posting:
    """
    Posts jobs of given kinds in threads, since the service may not respond for a while.

    Args:
        pool: the threads that post jobs.
        url: the URL of the service.
        soak: the name of the soak test.
        kinds: the kind of each job, in the order of posting.
        parents: kind -> id of a job that clones start from until a job of the soak test has ended.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        url: str,
        soak: str,
        kinds: list[str],
        parents: Mapping[str, str],
    ) -> None:
        self._pool, self._url, self._soak, self._kinds = pool, url, soak, kinds
        self._parents = dict(parents)
        self._left = list(range(len(kinds)))
        self._posted: dict[int, Future[str | None]] = {}
        self._over = threading.Event()

    @property
    def given(self) -> int:
        """Number of jobs given to the threads so far."""
        return len(self._posted)

    def give(self, count: int) -> None:
        """Give the next *count* jobs to the threads, or all that are left."""
        for _ in range(min(count, len(self._left))):
            self._give(self._left[0])

    def give_a_clone(self) -> None:
        """Give the next clone to the threads before its turn, if one is left."""
        for i in self._left:
            if self._kinds[i] in CLONES:
                self._give(i)
                return

    def ids(self) -> dict[int, str | None]:
        """Return the ids of the posted jobs by number; None for a job that could not be posted."""
        posted = [(i, job) for i, job in self._posted.items() if job.done()]
        return {i: None if job.cancelled() else job.result() for i, job in posted}

    def ended(self, number: int, job: Job) -> None:
        """Record that a job has ended; clones start from it if it has succeeded."""
        if job.state == "succeeded":
            self._parents[self._kinds[number]] = job.id

    def close(self) -> None:
        """Stop posting jobs."""
        self._over.set()
        for job in self._posted.values():
            job.cancel()

    def _give(self, number: int) -> None:
        self._left.remove(number)
        self._posted[number] = self._pool.submit(self._post, self._kinds[number])

    def _post(self, kind: str) -> str | None:
        if self._over.is_set():
            return None
        try:
            with Client(self._url, retry_for_s=PATIENCE_S) as client:
                return post(client, kind, self._soak, self._parents).id
        except ClientError as error:
            log.warning("a job could not be posted: %s", error)
            return None


def post(client: Client, kind: str, soak: str, parents: Mapping[str, str]) -> Job:
    """Post a job of *kind* and return it; *parents* has the jobs (kind -> id) for clones."""
    clone = CLONES.get(kind)
    if clone is None:
        return client.submit(spec_of(kind, soak=soak))
    changes = {"name": f"chaos: {kind}"}
    return client.clone(parents[clone.of], source=clone.source, keep=clone.keep, changes=changes)
