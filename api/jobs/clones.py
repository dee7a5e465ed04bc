"""Clones: jobs that begin with the weights of another one."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from fastapi.concurrency import run_in_threadpool

from api.http.dependencies import BlockingClient, Client, Effort, Shown, StoredFiles, TenantName
from api.http.problems import documented
from api.http.spec_body import Posted, PostedRoute
from api.jobs.clone_source import check_fits, merged, source_of
from api.jobs.responses import accepted
from api.jobs.wakeups import ring
from optserve.contract.answers.jobs import Job
from optserve.contract.requests.clone import CloneSpec, Keep
from optserve.contract.requests.job import JobSpec
from store.errors import JobNotFound, NothingToClone, StorageUnavailable
from store.jobs import calls
from store.jobs.calls import Submitted
from store.jobs.record import Inherited, Pointer, Record, new_fields, new_id
from store.redis.functions import send_async
from store.storage import starting_state
from store.storage.starting_state import Damaged, Gone

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"], route_class=PostedRoute)

TRIES = 5
"""Times that a job is looked up again whose checkpoint was swept while it was copied."""


class Cloning:
    """What it takes to make a clone of the job in the path."""

    def __init__(
        self,
        job_id: str,
        tenant: TenantName,
        client: Client,
        files: StoredFiles,
        work: Effort,
    ) -> None:
        self._job_id, self._tenant = job_id, tenant
        self._client, self._files, self._work = client, files, work

    async def submit(self, clone: CloneSpec, key: str) -> Submitted:
        """Return what became of the same request before, or make the clone."""
        body_sha = await self._work.do(self._work.size, clone.sha256, self._job_id)
        if key:  # before all else: what it asked for need not be there any more
            recall = calls.recall(self._tenant, idempotency_key=key, body_sha=body_sha)
            known = await send_async(self._client, recall)
            if known is not None:
                return known
        parent = await self._parent()
        spec = await self._work.do(self._size(parent), merged, parent, clone)
        new = new_id()
        inherited = await self._taken(clone, spec, new)
        fields = await self._work.do(self._size(parent), new_fields, spec, inherited)
        call = calls.submit(self._tenant, new, fields, idempotency_key=key, body_sha=body_sha)
        submitted = await send_async(self._client, call)
        if submitted.outcome != "created":  # somebody else was faster
            await self._forget(new)
        return submitted

    async def _taken(self, clone: CloneSpec, spec: JobSpec, new: str) -> Inherited:
        """Return the copy of what the clone begins with; a job that runs may sweep it meanwhile."""
        for _ in range(TRIES):
            parent = await self._parent()
            source = source_of(parent, clone)
            await self._work.do(self._size(parent), check_fits, parent, spec, clone.keep)
            try:
                copy = await self._copied(source, new, clone.keep)
            except Gone:
                continue
            except Damaged as error:
                raise NothingToClone(
                    f"what job {parent.id} has kept of step {source.step} is damaged: {error}"
                ) from None
            return Inherited(parent.id, copy.step, copy.path, copy.sha256, clone.keep)
        raise NothingToClone(
            f"what job {parent.id} has kept of step {source.step} is not in this service's storage"
        )

    async def _copied(self, source: Pointer, new: str, keep: Keep) -> Pointer:
        """Copy *source* for a job; a copy that nobody waits for any more is removed."""
        files, unwanted = self._files, threading.Event()
        size = await files.read(source.path, 0, files.storage.size, source.path)
        try:
            return await files.copy(
                source.path,
                size or 0,
                starting_state.take,
                files.storage,
                source,
                tenant=self._tenant,
                job_id=new,
                keep=keep,
                unwanted=unwanted,
            )
        except BaseException:
            unwanted.set()
            raise

    async def _forget(self, new: str) -> None:
        """Remove the copy for a job that was not made; else it is removed as nobody's later."""
        files = self._files
        with suppress(StorageUnavailable):
            await files.copy(new, 0, starting_state.forget, files.storage, self._tenant, new)

    async def _parent(self) -> Record:
        record = await send_async(self._client, calls.look(self._tenant, self._job_id))
        if record is None:
            raise JobNotFound(self._job_id)
        return record

    def _size(self, parent: Record) -> int:
        """Return the bytes of JSON that must be looked at to make a clone of *parent*."""
        return self._work.size + len(parent.fields["spec"])


@router.post(
    "/clone",
    status_code=201,
    response_model=Job,
    responses=documented(JobNotFound, NothingToClone, StorageUnavailable),
)
async def clone_job(
    *,
    clone: Posted[CloneSpec],
    cloning: Annotated[Cloning, Depends()],
    ringing: BlockingClient,
    shown: Shown,
    work: Effort,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """
    Post a job that begins with the weights of this one, at its own step 0.

    `changes` is a JSON merge patch (RFC 7396) on this job as it was posted: what it left to
    defaults is left to them still. The network's parameters must stay the same. The new job has a
    copy of what it begins with: whatever becomes of this one, it can be trained.
    """
    submitted = await cloning.submit(clone, idempotency_key or "")
    answer = await accepted(submitted, shown=shown, work=work)
    if submitted.bells:
        await run_in_threadpool(ring, ringing, submitted.bells, submitted.record.id)
    return answer
