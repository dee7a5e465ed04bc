"""Pages of jobs, limited in the number of jobs and in bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from api.http.thread_pool import RequestThreads
from optserve.contract.answers.jobs import ListedJob, UnreadableJob
from store.errors import JobNotFound, RecordUnreadable
from store.jobs.calls import Unreadable
from store.jobs.record import Record
from store.jobs.views import Store

log = logging.getLogger(__name__)

# The rest of the 4 MiB is for the JSON around the rows.
MAX_PAGE = 4 * 2**20 - 1024
"""Maximum size of the rows in a page, in bytes. The first row is included whatever its size."""
OLD_PER_PAGE = 64
"""Maximum number of jobs in a page whose records release 0.1.0 wrote: the names of these jobs must
be read from their specs."""
MAX_WHY = 300
"""Maximum length of the reason why a job cannot be read, in characters."""
ROWS_AT_ONCE = 32
"""Number of rows built before the event loop may run other requests."""

Render = Callable[..., ListedJob]
"""Function that returns the representation of a job in a list; see `Record.listed`."""


@dataclass
class Rows:
    """
    The rows of a page.

    Attributes:
        texts: the rows, each as JSON.
        unreadable: the jobs that cannot be read, each as JSON with the reason.
        last: id of the last job, readable or not.
        size: size of all rows and unreadable jobs, in bytes.
        old: number of rows from records that release 0.1.0 wrote.
        full: whether the page can take no further row.
    """

    texts: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    last: str = ""
    size: int = 0
    old: int = 0
    full: bool = False

    def add(self, job_id: str, text: bytes) -> None:
        """Add *text*, the row of a job, if it fits; otherwise mark the page as full."""
        self.full = bool(self.texts) and self.size + len(text) + 1 > MAX_PAGE
        if not self.full:
            self.texts.append(text)
            self.last, self.size = job_id, self.size + len(text) + 1

    def skip(self, job_id: str, why: str) -> None:
        """List a job as unreadable, with the reason *why*, so that the other jobs can be listed."""
        log.warning("the job %s cannot be listed: %s", job_id, why)
        text = UnreadableJob(id=job_id, detail=why[:MAX_WHY]).model_dump_json().encode()
        self.unreadable.append(text)
        self.last, self.size = job_id, self.size + len(text) + 1

    def page(self, rest: str | None) -> bytes:
        """
        Return the page as JSON.

        If not all rows fitted, the next page begins after the last job of this page.

        Args:
            rest: the cursor of the next page if all rows fitted; None on the last page.
        """
        # Joined by hand: the rows are JSON already, and parsing 4 MiB again would take long.
        after = self.last if self.full else rest
        end = b'"has_more":false,"next":null}' if after is None else _more(after)
        lists = b'"data":[%b],"unreadable":[%b],' % tuple(
            b",".join(texts) for texts in (self.texts, self.unreadable)
        )
        return b'{"object":"list",' + lists + end


async def page(
    store: Store,
    tenant: str,
    found: tuple[list[str], str | None],
    *,
    with_spec: bool,
    render: Render,
    threads: RequestThreads,
) -> bytes:
    """
    Return a page of jobs as JSON.

    Args:
        store: the store to read the jobs from.
        tenant: the owner of the jobs.
        found: the ids of the jobs, and the cursor for the next page (None on the last page).
        with_spec: whether to include the spec of each job.
        render: function that returns the representation of a job.
        threads: the thread pool for this request.
    """
    ids, rest = found
    rows = Rows()
    async for record in store.summaries(tenant, ids):
        if isinstance(record, Unreadable):
            rows.skip(record.id, record.why)
            continue
        try:
            rows.add(record.id, await _row(store, record, with_spec, render, threads))
        except JobNotFound:  # deleted meanwhile
            continue
        except RecordUnreadable as error:
            rows.skip(record.id, str(error))
            continue
        rows.old += not record.is_called
        rows.full = rows.full or (rows.old == OLD_PER_PAGE and record.id != ids[-1])
        if rows.full:
            break
        if len(rows.texts) % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)  # rows are built on the event loop
    return rows.page(rest)


async def _row(
    store: Store, record: Record, with_spec: bool, render: Render, threads: RequestThreads
) -> bytes:
    spec: str | None = None
    # A list of 60 large jobs with their specs took 3.5 s and 51 MB.
    if with_spec or not record.is_called:
        spec = await store.spec(record, most=MAX_PAGE)
    if spec is None and not record.is_called:
        record = Record({**record.fields, **UNKNOWN})
    return await threads.run(
        len(spec or ""), _text, record, spec, with_spec=with_spec, render=render
    )


UNKNOWN = {"name": "", "labels": "{}", "time_limit_s": ""}
"""Fields for a record that release 0.1.0 wrote, if its spec is larger than a page."""


def _text(record: Record, spec: str | None, *, with_spec: bool, render: Render) -> bytes:
    return render(record, spec, with_spec=with_spec).model_dump_json().encode()


def _more(after: str) -> bytes:
    return b'"has_more":true,"next":"' + after.encode() + b'"}'
