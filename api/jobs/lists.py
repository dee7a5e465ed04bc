"""Pages of jobs: rows are gathered until there are enough, or they are too long together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from api.http.thread_pool import RequestWork
from optserve.contract.answers.jobs import ListedJob, UnreadableJob
from store.errors import JobNotFound, RecordUnreadable
from store.jobs.calls import Unreadable
from store.jobs.record import Record
from store.jobs.views import Store

log = logging.getLogger(__name__)

MAX_PAGE = 4 * 2**20 - 1024
"""Bytes of a page's rows; the first one is always there."""
OLD_PER_PAGE = 64
"""Records of the release before, whose specs must be read for their names, in one page."""
MAX_WHY = 300
"""Characters of why a job cannot be read."""
ROWS_AT_ONCE = 32
"""Rows that are made between two looks at other requests."""

Listed = Callable[..., ListedJob]
"""What a client sees of a record in a list; see `Record.listed`."""


@dataclass
class Rows:
    """
    The rows of a page.

    Attributes:
        texts: of each, in JSON.
        unreadable: those of which there is no row, and why, in JSON.
        last: id of the last one.
        size: bytes of all.
        old: how many of them are of the release before.
        full: whether there was one more that did not fit.
    """

    texts: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    last: str = ""
    size: int = 0
    old: int = 0
    full: bool = False

    def add(self, job_id: str, text: bytes) -> None:
        """Add a row, if it fits."""
        self.full = bool(self.texts) and self.size + len(text) + 1 > MAX_PAGE
        if not self.full:
            self.texts.append(text)
            self.last, self.size = job_id, self.size + len(text) + 1

    def skip(self, job_id: str, why: str) -> None:
        """Leave out a job that cannot be read, and say so: the others are listed all the same."""
        log.warning("%s cannot be listed: %s", job_id, why)
        text = UnreadableJob(id=job_id, detail=why[:MAX_WHY]).model_dump_json().encode()
        self.unreadable.append(text)
        self.size += len(text) + 1

    def page(self, rest: str | None) -> bytes:
        """Return the page as JSON; *rest*: what follows it if all of the rows did fit."""
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
    listed: Listed,
    work: RequestWork,
) -> bytes:
    """
    Return a page of jobs as JSON.

    Args:
        store: where they are.
        tenant: whose they are.
        found: their ids, and what follows them.
        with_spec: whether their specs are shown.
        listed: what is shown of one.
        work: of the request.
    """
    ids, rest = found
    rows = Rows()
    async for record in store.summaries(tenant, ids):
        if isinstance(record, Unreadable):
            rows.skip(record.id, record.why)
            continue
        try:
            rows.add(record.id, await _row(store, record, with_spec, listed, work))
        except JobNotFound:  # it was removed meanwhile
            continue
        except RecordUnreadable as error:
            rows.skip(record.id, str(error))
            continue
        rows.old += not record.is_called
        rows.full = rows.full or (rows.old == OLD_PER_PAGE and record.id != ids[-1])
        if rows.full:
            break
        if len(rows.texts) % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return rows.page(rest)


async def _row(
    store: Store, record: Record, with_spec: bool, listed: Listed, work: RequestWork
) -> bytes:
    spec: str | None = None
    if with_spec or not record.is_called:
        spec = await store.spec(record, most=MAX_PAGE)
    if spec is None and not record.is_called:
        record = Record({**record.fields, **UNKNOWN})
    return await work.do(len(spec or ""), _text, record, spec, with_spec=with_spec, listed=listed)


UNKNOWN = {"name": "", "labels": "{}", "time_limit_s": ""}
"""What is shown of a record of the release before whose spec is larger than a page."""


def _text(record: Record, spec: str | None, *, with_spec: bool, listed: Listed) -> bytes:
    return listed(record, spec, with_spec=with_spec).model_dump_json().encode()


def _more(after: str) -> bytes:
    return b'"has_more":true,"next":"' + after.encode() + b'"}'
