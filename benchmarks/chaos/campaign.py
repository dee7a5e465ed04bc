"""The soak test: posts jobs, kills and stops processes meanwhile, and compares the results."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.chaos import proc
from benchmarks.chaos.kinds import CLONES, KINDS
from benchmarks.chaos.posting import PATIENCE_S, Posting, post
from benchmarks.chaos.report import Report
from benchmarks.chaos.strikes import AWAY, Striker, Victims, plan
from benchmarks.chaos.unfinished import Unfinished
from benchmarks.chaos.verdict import Story, Window, silence_s, standstill, wrongs
from optserve.client import Client
from optserve.client.errors import ClientError
from optserve.contract.answers.jobs import Job

Answer = TypeVar("Answer")

OUTSTANDING, FEWEST = 12, 2
"""Maximum number of posted jobs that have not ended: usually, and while strikes are behind plan."""
STRUCK_SHARE = 0.75
"""Share of the jobs within which all strikes are due; late strikes are made in the last jobs."""
TICK_S, LOOK_S = 0.02, 0.2
READY_S = 30.0
"""Seconds that new trainers may take to be ready while they occupy all cores."""
ARCHIVED_S = 180.0
"""Seconds within which all ended jobs must be archived: an interrupted try is repeated only after a
minute."""
TIDY_S, TIDY_PER_JOB_S = 60.0, 0.1
"""Seconds within which unneeded files must be deleted, and further seconds per job."""


MOST_MISSED = 0.1
"""Largest share of the strikes that may find nobody to hurt."""


@dataclass(frozen=True)
class Campaign:
    """
    The parameters of a soak test.

    Attributes:
        url: the URL of the service.
        name: the value of the label of its jobs.
        seed: the seed of all random choices.
        num_jobs: the number of jobs.
        minutes: the time limit in minutes.
        num_kills: the number of SIGKILLs; see `plan`.
        lease_s: the lease of the service, in seconds.
        victims: the processes that may be struck (killed or stopped).
        unfinished: the service's files without a record; None if only trainers may be struck.
        supervise: a function that restarts what has died; called repeatedly, from one thread.
    """

    url: str
    name: str
    seed: int
    num_jobs: int
    minutes: float
    num_kills: int
    lease_s: float
    victims: Victims
    unfinished: Unfinished | None
    supervise: Callable[[], None]

    def run(self) -> Report:
        """Run the soak test; return its report, which lists everything that was wrong."""
        with Client(self.url, retry_for_s=PATIENCE_S) as client:
            return _Run(self, client).report()


class _Run:
    def __init__(self, campaign: Campaign, client: Client) -> None:
        self._campaign, self._client = campaign, client
        self._unfinished = campaign.unfinished
        self._draw = random.Random(campaign.seed)
        self._kinds = [self._draw.choice([*KINDS, *CLONES]) for _ in range(campaign.num_jobs)]
        self._striker = Striker(
            plan(campaign.num_kills, self._draw, whole=campaign.unfinished is not None),
            self._draw,
            campaign.victims,
            campaign.unfinished,
            lease_s=campaign.lease_s,
        )
        self._num_strikes = self._striker.left
        self._away: list[Window] = []
        self._away_since: float | None = None
        self._gone: int | None = None
        self._deadline = time.monotonic() + 60 * campaign.minutes
        self._next_strike = 0.0

    def report(self) -> Report:
        report = Report(self._campaign.seed, self._campaign.num_jobs)
        parents = self._trained(KINDS, {})
        undisturbed = {**parents, **self._trained(CLONES, parents)}
        began = time.monotonic()
        with ThreadPoolExecutor(2 * OUTSTANDING) as pool:
            ids = {kind: story.job.id for kind, story in parents.items()}
            posting = Posting(pool, self._campaign.url, self._campaign.name, self._kinds, ids)
            try:
                self._soak(posting)
            finally:
                posting.close()
                self._striker.wake(everybody=True)
            self._until_there()
        report.took_s, report.struck = time.monotonic() - began, self._striker.struck
        jobs = [posting.ids().get(i) for i in range(self._campaign.num_jobs)]
        beside = [story.job.id for story in undisturbed.values()]
        self._put_away(report, [job for job in jobs if job is not None], beside)
        stories = [None if job is None else self._story(job) for job in jobs]
        self._judge(report, list(zip(self._kinds, stories, strict=True)), undisturbed)
        return report

    def _trained(self, kinds: Iterable[str], parents: dict[str, Story]) -> dict[str, Story]:
        """Train one job of each of *kinds* without strikes; return the stories by kind."""
        ids = {kind: story.job.id for kind, story in parents.items()}
        jobs = {kind: post(self._client, kind, self._campaign.name, ids) for kind in kinds}
        for job in jobs.values():
            while not self._job(job.id).state.final and time.monotonic() < self._deadline:
                self._campaign.supervise()
                time.sleep(TICK_S)
        return {kind: self._story(job.id) for kind, job in jobs.items()}

    def _job(self, job_id: str) -> Job:
        return self._client.job(job_id)

    def _story(self, job_id: str) -> Story:
        job = self._job(job_id)
        return Story(job, list(self._client.metrics(job_id)), self._client.events(job_id))

    # ------------------------------------------------------------------------ while it lasts

    def _soak(self, posting: Posting) -> None:
        """Post all jobs and strike, until the last job has ended."""
        waiting = set(range(self._campaign.num_jobs))
        looked = 0.0
        while waiting and time.monotonic() < self._deadline:
            self._campaign.supervise()
            self._striker.wake()
            self._watch()
            ended = self._campaign.num_jobs - len(waiting)
            self._strike(ended, posting)
            posting.give(ended + self._outstanding(ended) - posting.given)
            time.sleep(TICK_S)
            if time.monotonic() - looked < LOOK_S:
                continue
            looked = time.monotonic()
            for number, job_id in posting.ids().items():
                if number in waiting and self._is_over(number, job_id, posting):
                    waiting.remove(number)

    def _is_over(self, number: int, job_id: str | None, posting: Posting) -> bool:
        if job_id is None:
            return True
        job = self._quietly(lambda: self._job(job_id))
        if job is None or not job.state.final:
            return False
        posting.ended(number, job)
        return True

    def _due(self, jobs: int) -> bool:
        """Return whether fewer strikes were made than are due once *jobs* jobs have ended."""
        done = self._num_strikes - self._striker.left
        share = jobs / (STRUCK_SHARE * self._campaign.num_jobs)
        return done < min(share, 1.0) * self._num_strikes

    def _outstanding(self, ended: int) -> int:
        """Return the maximum number of unfinished posted jobs once *ended* jobs have ended."""
        return FEWEST if self._due(ended) else OUTSTANDING

    def _strike(self, ended: int, posting: Posting) -> None:
        """Make the next strike, if it is due once *ended* jobs have ended."""
        if time.monotonic() < self._next_strike or not self._due(ended + OUTSTANDING):
            return
        api = self._campaign.victims.find("api")
        if self._away_since is not None:
            kind = self._striker.strike_while_away()
        else:
            if self._striker.following == "cloning" and posting.given < ended + 2 * OUTSTANDING:
                posting.give_a_clone()
            kind = self._striker.strike(lambda: self._quietly(self._client.workers) or [])
        if kind in AWAY and self._away_since is None:
            self._away_since = time.time()
            # Without its stack, the API still responds for a moment.
            self._gone = api if kind == "up" else None
        if kind is not None:
            self._next_strike = time.monotonic() + self._draw.uniform(0.0, 0.4)

    def _watch(self) -> None:
        """Record the times during which the API or the store did not respond."""
        if self._away_since is None:
            return
        if self._gone is not None and self._campaign.victims.find("api") in (self._gone, None):
            return
        if self._client.ready():
            self._away.append((self._away_since, time.time()))
            self._away_since = None

    def _until_there(self) -> None:
        while self._away_since is not None or not self._client.ready():
            self._campaign.supervise()
            self._watch()
            time.sleep(TICK_S)

    def _quietly(self, ask: Callable[[], Answer]) -> Answer | None:
        """Return the result of *ask*, or None if the service does not respond."""
        with contextlib.suppress(ClientError):
            return ask()
        return None

    # ------------------------------------------------------------------------ afterwards

    def _put_away(self, report: Report, jobs: list[str], beside: list[str]) -> None:
        """
        Wait until ended jobs are archived and unneeded files are deleted; report what is left.

        The undisturbed jobs *beside* are waited for too: strikes may have interrupted archiving.
        """
        unfinished = self._unfinished
        if unfinished is None:
            return
        ended = [job for job in jobs if self._job(job).state.final]
        self._wait(lambda: not unfinished.unarchived([*ended, *beside]), ARCHIVED_S)
        unarchived = unfinished.unarchived(ended)
        report.archived = len(ended) - len(unarchived)
        report.violations += [f"{job}: its rows were not moved to a file" for job in unarchived]
        if unfinished.left():
            unfinished.age()
            api = self._campaign.victims.find("api")
            if api is not None:  # the next API process first scans all folders
                proc.send(api, signal.SIGKILL)
            self._wait(lambda: not unfinished.left(), TIDY_S + TIDY_PER_JOB_S * len(jobs))
        report.violations += [f"{path} was left behind" for path in unfinished.left()]
        self._until_there()

    def _wait(self, condition: Callable[[], bool], for_s: float) -> None:
        deadline = time.monotonic() + for_s
        while not condition() and time.monotonic() < deadline:
            self._campaign.supervise()
            time.sleep(LOOK_S)

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
        report.standstill_s, last = standstill(there, self._away, lease_s=lease_s)
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
        if report.standstill_s > 2 * lease_s + READY_S and last is not None:
            report.violations.append(
                f"jobs waited, and nothing happened for {report.standstill_s:.1f} s after "
                f"{last.kind} at {last.at:%H:%M:%S}"
            )
        # A strike on what exists for a moment (a clone, an archive, a start) may miss it on a slow
        # machine; with more of them missed, the soak has not tried what it claims.
        if self._striker.left > MOST_MISSED * self._num_strikes:
            report.violations.append(f"{self._striker.left} strikes found nobody to hurt")
