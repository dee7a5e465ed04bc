"""The soak itself: jobs are posted, processes hurt meanwhile, and in the end all is compared."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from optserve.chaos.kinds import KINDS, spec_of
from optserve.chaos.strikes import Kind, Striker, Victims, plan
from optserve.chaos.verdict import Story, Window, silence_s, standstill_s, wrongs
from optserve.client import Client
from optserve.errors import ClientError

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

OUTSTANDING, FEWEST = 12, 2
"""Jobs that were posted and have not ended, at a time; and where the strikes have fallen behind."""
TICK_S, LOOK_S = 0.02, 0.2
READY_S = 20.0
"""Seconds that new trainers may take to be ready, all cores being busy with them."""
PATIENCE_S = 120.0
"""Seconds for which a service that was hurt is waited for."""


@dataclass
class Report:
    """
    What came of a soak.

    Attributes:
        seed: replays it.
        num_jobs: how many were to be trained.
        succeeded: how many did.
        struck: processes that were hurt, by kind.
        attempts: of all jobs together.
        verified: rows computed again after an interruption, each equal to the one stored.
        silence_s: longest time for which a job ran without an entry of its history.
        standstill_s: longest time for which jobs waited and no job had one.
        took_s: from the first job to the last.
        violations: what must not be; empty if all is well.
    """

    seed: int
    num_jobs: int
    succeeded: int = 0
    struck: Counter[Kind] = field(default_factory=Counter)
    attempts: int = 0
    verified: int = 0
    silence_s: float = 0.0
    standstill_s: float = 0.0
    took_s: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """SIGKILLs, those of the server included."""
        return self.struck.total() - self.struck["stop"]


@dataclass(frozen=True)
class Campaign:
    """
    A soak that is about to begin.

    Attributes:
        url: of the service.
        name: the value of its jobs' label.
        seed: of everything random.
        num_jobs: how many.
        minutes: after so many it must be over.
        num_kills: see `plan`.
        lease_s: of the service.
        victims: who may be hurt.
        whole: whether all of the service may be hurt, or trainers alone.
        look_after: starts again what has died; called all the time, from one thread.
    """

    url: str
    name: str
    seed: int
    num_jobs: int
    minutes: float
    num_kills: int
    lease_s: float
    victims: Victims
    whole: bool
    look_after: Callable[[], None]

    def run(self) -> Report:
        """Do it all; the report says what was wrong."""
        with Client(self.url, patience_s=PATIENCE_S) as client:
            return _Run(self, client).report()


class _Run:
    def __init__(self, campaign: Campaign, client: Client) -> None:
        self._campaign, self._client = campaign, client
        self._draw = random.Random(campaign.seed)
        self._kinds = [self._draw.choice(list(KINDS)) for _ in range(campaign.num_jobs)]
        self._striker = Striker(
            plan(campaign.num_kills, self._draw, whole=campaign.whole),
            self._draw,
            campaign.victims,
            lease_s=campaign.lease_s,
        )
        self._num_strikes = self._striker.left
        self._away: list[Window] = []
        self._away_since: float | None = None
        self._deadline = time.monotonic() + 60 * campaign.minutes
        self._next_strike = 0.0

    def report(self) -> Report:
        report = Report(self._campaign.seed, self._campaign.num_jobs)
        undisturbed = {kind: self._trained(kind) for kind in KINDS}
        began = time.monotonic()
        with ThreadPoolExecutor(2 * OUTSTANDING) as pool:
            try:
                stories = self._soak(pool)
            finally:
                self._striker.wake(everybody=True)
        report.took_s, report.struck = time.monotonic() - began, self._striker.struck
        self._judge(report, stories, undisturbed)
        return report

    def _trained(self, kind: str) -> Story:
        """Return the story of a job that nobody disturbs."""
        job = self._client.submit(spec_of(kind, soak=self._campaign.name))
        while not job.state.final and time.monotonic() < self._deadline:
            self._campaign.look_after()
            time.sleep(TICK_S)
            job = self._client.job(job.id)
        return self._story(job.id)

    def _story(self, job_id: str) -> Story:
        job = self._client.job(job_id)
        return Story(job, list(self._client.metrics(job_id)), self._client.events(job_id))

    # ------------------------------------------------------------------------ while it lasts

    def _soak(self, pool: ThreadPoolExecutor) -> list[tuple[str, Story | None]]:
        """Return kind and story of each job, None for one that could not be posted."""
        slots, given = threading.Semaphore(0), 0
        posted = [pool.submit(self._post, kind, slots) for kind in self._kinds]
        waiting = list(range(len(posted)))
        stories: dict[int, Story] = {}
        looked = 0.0
        while waiting and time.monotonic() < self._deadline:
            self._campaign.look_after()
            self._striker.wake()
            self._watch()
            ended = len(posted) - len(waiting)
            self._strike(ended)
            if (more := ended + self._outstanding(ended) - given) > 0:
                slots.release(more)
                given += more
            time.sleep(TICK_S)
            if time.monotonic() - looked < LOOK_S:
                continue
            looked = time.monotonic()
            for i in [i for i in waiting if posted[i].done()]:
                job_id = posted[i].result()
                if job_id is None or self._over(job_id):
                    waiting.remove(i)
        self._striker.wake(everybody=True)
        self._until_there()
        ids = [job.result() if job.done() else None for job in posted]
        for job in posted:
            job.cancel()
        slots.release(len(posted))
        for i, job_id in enumerate(ids):
            if job_id is not None:
                stories[i] = self._story(job_id)
        return [(kind, stories.get(i)) for i, kind in enumerate(self._kinds)]

    def _post(self, kind: str, slots: threading.Semaphore) -> str | None:
        slots.acquire()
        if time.monotonic() > self._deadline:
            return None
        try:
            with Client(self._campaign.url, patience_s=PATIENCE_S) as client:
                return client.submit(spec_of(kind, soak=self._campaign.name)).id
        except ClientError as error:
            log.warning("a job could not be posted: %s", error)
            return None

    def _over(self, job_id: str) -> bool:
        found = self._quietly(lambda: self._client.job(job_id))
        return found is not None and found.state.final

    def _due(self, jobs: int) -> bool:
        """Return whether, for so many jobs, more strikes are due than were done."""
        done = self._num_strikes - self._striker.left
        return (
            done < min(jobs, self._campaign.num_jobs) * self._num_strikes / self._campaign.num_jobs
        )

    def _outstanding(self, ended: int) -> int:
        """Return how many jobs may be posted that have not ended, if so many have."""
        return FEWEST if self._due(ended) else OUTSTANDING

    def _strike(self, ended: int) -> None:
        """Hurt somebody if that many jobs have ended that it is time to."""
        busy = self._away_since is not None or time.monotonic() < self._next_strike
        if busy or not self._due(ended + OUTSTANDING):
            return
        kind = self._striker.strike(lambda: self._quietly(self._client.workers) or [])
        if kind in ("api", "server"):
            self._away_since = time.time()
        self._next_strike = time.monotonic() + self._draw.uniform(0.0, 0.4)

    def _watch(self) -> None:
        """Note from when to when API or store were away."""
        if self._away_since is not None and self._client.ready():
            self._away.append((self._away_since, time.time()))
            self._away_since = None

    def _until_there(self) -> None:
        while self._away_since is not None or not self._client.ready():
            self._campaign.look_after()
            self._watch()
            time.sleep(TICK_S)

    def _quietly(self, ask: Callable[[], Answer]) -> Answer | None:
        """Return an answer, or None while the service is away."""
        with contextlib.suppress(ClientError):
            return ask()
        return None

    # ------------------------------------------------------------------------ afterwards

    def _judge(
        self,
        report: Report,
        stories: list[tuple[str, Story | None]],
        undisturbed: dict[str, Story],
    ) -> None:
        lease_s = self._campaign.lease_s
        there = [story for _, story in stories if story is not None]
        report.succeeded = sum(story.job.state == "succeeded" for story in there)
        report.attempts = sum(story.job.attempt for story in there)
        report.verified = sum(story.job.verified_rows for story in there)
        report.standstill_s = standstill_s(there, self._away, lease_s=lease_s)
        for kind, story in stories:
            if story is None:
                report.violations.append(f"a job ({kind}) could not be posted in time")
                continue
            silent = silence_s(story.events, self._away, lease_s=lease_s)
            report.silence_s = max(report.silence_s, silent)
            found = list(wrongs(story, undisturbed[kind]))
            if silent > 2 * lease_s:
                found.append(f"nothing was heard of it for {silent:.1f} s while it ran")
            report.violations += [f"{story.job.id} ({kind}): {wrong}" for wrong in found]
        if report.standstill_s > 2 * lease_s + READY_S:
            report.violations.append(
                f"jobs waited, and nothing happened for {report.standstill_s:.1f} s"
            )
        if self._striker.left:
            report.violations.append(f"{self._striker.left} strikes found nobody to hurt")
