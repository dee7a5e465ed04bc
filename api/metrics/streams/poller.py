"""The poller: reads the progress of all jobs that have subscribers, several in a round trip."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.metrics.streams.feed import Feed
from api.metrics.streams.subscriber import Subscriber, Waker
from optserve.contract.states import State
from store.errors import JobError
from store.jobs.progress import Progress
from store.jobs.record import Record
from store.jobs.views import Store, TruncatedMeanwhile
from store.redis.unreachable import UNREACHABLE

log = logging.getLogger(__name__)

POLL_S = 0.025
"""Seconds between two polls of a job that makes progress."""
MAX_POLL_S = {State.RUNNING: 0.1, State.QUEUED: 0.1}
"""Maximum seconds between two polls of a job in one of these states, which may change soon."""
MAX_IDLE_POLL_S = 0.25
"""Maximum seconds between two polls of a job in any other state."""
BACKOFF_DIVISOR = 4
"""A job that has not changed for t seconds is polled again after t / 4 seconds, within the limits
above."""
MAX_POLL_SHARE = 0.25
"""Maximum share of the time that is spent on polling."""
SENDS_PER_S = 5_000
"""Maximum number of events per second that this process sends to all subscribers together. With
more subscribers, rows are sent in fewer and larger events."""
MAX_SEND_INTERVAL_S = 0.5
"""Maximum seconds by which rows of a job are delayed because there are many subscribers."""
ROWS_PER_EVENT = 250
"""Maximum number of rows in an event: some 12 KB, small enough to arrive completely on a connection
that breaks again and again."""
ROWS_PER_POLL = 8 * ROWS_PER_EVENT
"""Maximum number of rows of a job that are read after a poll."""
SECONDS_PER_ROW = 1 / 20_000
"""Minimum seconds per published row of a job, so that a client that reads steadily keeps up."""
MAX_READ_S = 0.1
"""Seconds after which the next poll begins even if rows of a job are still being read: these may
come from a slow file."""
RETRY_S = 0.25
"""Seconds between two attempts to reach a store that does not respond."""


@dataclass
class PolledJob:
    """
    A job that has subscribers, and when to poll it. Times are in seconds of the loop's clock.

    Attributes:
        feed: the events of the job.
        poll_at: the time of the next poll.
        changed_at: the time when the job last changed.
        publish_at: the earliest time at which further rows may be published.
        num_streams: number of streams that follow the job.
        reading: whether rows of the job are being read now.
    """

    feed: Feed
    poll_at: float
    changed_at: float
    publish_at: float = 0.0
    num_streams: int = 0
    reading: bool = False

    @property
    def pending(self) -> bool:
        """Whether to poll the job: false while its rows are read, and after its feed has ended."""
        return not (self.reading or self.feed.ended or self.feed.abandoned)


class Poller:
    """
    Polls the jobs that have subscribers in this process; publishes each job's changes in its feed.

    Attributes:
        num_polls: number of round trips to the store so far.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: dict[tuple[str, str], PolledJob] = {}
        self._waker = Waker()
        self._changed = asyncio.Event()
        self._reads: set[asyncio.Task[None]] = set()
        self._lag_s = 0.0
        self.num_polls = 0

    @property
    def num_jobs(self) -> int:
        """Number of subscribed jobs."""
        return len(self._jobs)

    @contextmanager
    def subscribed(self, record: Record, subscriber: Subscriber) -> Iterator[Feed]:
        """Yield the feed of a job; the job is polled for as long as it has a subscriber."""
        now = asyncio.get_running_loop().time()
        name = (record.tenant, record.id)
        job = self._jobs.get(name)
        if job is None or job.feed.abandoned:
            job = self._jobs[name] = PolledJob(Feed(record, now, self._waker), now, now)
            self._changed.set()  # else it would be polled only when another job is due
        job.num_streams += 1
        try:
            with job.feed.subscribed(subscriber):
                yield job.feed
        finally:
            job.num_streams -= 1
            # The job may have a new feed by now, in place of one that was abandoned.
            if not job.num_streams and self._jobs.get(name) is job:
                del self._jobs[name]

    async def poll_forever(self) -> None:
        """Poll until cancelled. While the store is unreachable, busy or loading, keep trying."""
        try:
            await self._poll_forever()
        finally:
            for task in self._reads:
                task.cancel()

    async def _poll_forever(self) -> None:
        loop = asyncio.get_running_loop()
        away = False
        while True:
            began = loop.time()
            due = [job for job in self._jobs.values() if job.poll_at <= began and job.pending]
            try:
                await self._poll(due)
            except UNREACHABLE as error:
                if not away:
                    log.warning("streams wait for the store: %s", error)
                away = True
                await asyncio.sleep(RETRY_S)
                continue
            # A poll without jobs sends the store no request, so it proves nothing.
            if due:
                away = False
            await self._pause(loop.time() - began)

    async def _pause(self, took_s: float) -> None:
        """Wait until the next poll is due, and measure how far the event loop lags behind."""
        loop = asyncio.get_running_loop()
        times = [job.poll_at for job in self._jobs.values() if job.pending]
        if not times:
            self._changed.clear()
            await self._changed.wait()
            return
        # The second term limits the share of polling: a slow store is polled less often.
        pause = max(min(times) - loop.time(), took_s * (1 - MAX_POLL_SHARE) / MAX_POLL_SHARE, 0.001)
        until = loop.time() + min(pause, MAX_IDLE_POLL_S)
        self._changed.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            # The measured lag rises at once and decays over some ten polls. Meanwhile `_rows` sends
            # fewer and larger events, to relieve an overloaded loop.
            self._lag_s = max(0.9 * self._lag_s, loop.time() - until)

    async def _poll(self, due: Sequence[PolledJob]) -> None:
        if not due:
            return
        self.num_polls += 1
        names = [(job.feed.record.tenant, job.feed.record.id) for job in due]
        found = await self._store.progress_of(names)
        pairs = zip(due, found, strict=True)
        reads = [asyncio.create_task(self._publish(*pair)) for pair in pairs]
        self._reads.update(reads)
        # Not a TaskGroup: a read that takes longer continues while other jobs are polled.
        await asyncio.wait(reads, timeout=MAX_READ_S)
        done = {task for task in self._reads if task.done()}
        self._reads -= done
        failed = [error for task in done if (error := task.exception()) is not None]
        if failed:
            # Not an error in the data of one job: `_publish` handles those. It is an error of the
            # store, or a bug, which stops the service.
            raise failed[0]

    async def _publish(self, job: PolledJob, progress: Progress | None) -> None:
        """Publish the changes of one job; an error in its data ends the streams of that job."""
        job.reading = True  # a second read at the same time would publish rows twice
        try:
            await self._update(job, progress)
        except JobError as error:
            log.warning("%s cannot be streamed: %s", job.feed.record.id, error)
            job.feed.abandon()
        finally:
            job.reading = False
            self._changed.set()

    async def _update(self, job: PolledJob, progress: Progress | None) -> None:
        feed, now = job.feed, asyncio.get_running_loop().time()
        if progress is None:
            feed.abandon()
            return
        # Before the rows: a truncation moves the cursor back, and rows are read from the cursor.
        if feed.update(progress, now):
            job.changed_at = now
        # Rows of a job that has ended are published at once: its final event must follow them.
        if progress.rows > feed.cursor.last + 1 and (now >= job.publish_at or feed.state.final):
            await self._rows(job, progress, now)
        if progress.state.final and progress.rows <= feed.cursor.last + 1:
            await self._end(feed)
        unchanged_s = now - job.changed_at
        longest = MAX_POLL_S.get(feed.state, MAX_IDLE_POLL_S)
        pause = max(unchanged_s / BACKOFF_DIVISOR, POLL_S, job.publish_at - now)
        job.poll_at = now + min(pause, longest)

    async def _rows(self, job: PolledJob, progress: Progress, now: float) -> None:
        """Publish rows that were stored since the last poll, `ROWS_PER_POLL` at most."""
        feed = job.feed
        first = feed.cursor.last + 1
        count = min(progress.rows - first, ROWS_PER_POLL)
        try:
            # Rows may have been truncated and computed anew since the progress was read. The next
            # poll then publishes the truncation, which discards the rows published too early.
            batch = await self._store.rows(feed.record, first=first, count=count)
        except TruncatedMeanwhile:
            return  # the next poll publishes the truncation
        for start in range(0, len(batch), ROWS_PER_EVENT):
            feed.add(batch[start : start + ROWS_PER_EVENT], now)
        streams = sum(other.num_streams for other in self._jobs.values())
        interval_s = min(streams / SENDS_PER_S + 2 * self._lag_s, MAX_SEND_INTERVAL_S)
        job.publish_at = now + max(interval_s, len(batch) * SECONDS_PER_ROW)

    async def _end(self, feed: Feed) -> None:
        record = await self._store.record(feed.record.tenant, feed.record.id)
        feed.end(record, asyncio.get_running_loop().time())
