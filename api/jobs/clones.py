"""Clones: jobs that start from the weights of another job."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.http.dependencies import (
    Client,
    Services,
    StoredFiles,
    TenantName,
    Threads,
)
from api.http.params import IdempotencyKey
from api.http.problems import documented
from api.http.spec_body import SpecBody, SpecBodyRoute
from api.jobs.clone_source import check_fits, merged, source_of, trained_on
from api.jobs.plan import checking_cost, plan_text
from api.jobs.responses import submitted_response
from api.jobs.wakeups import wake_workers
from optcore.files.integrity import Damaged
from optcore.spec.datasets.trained_on import warnings
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.plans import Plan
from optserve.contract.requests.clone import CloneSpec, Keep
from optserve.contract.requests.job import JobSpec
from store.errors import Busy, JobNotFound, NothingToClone, StorageUnavailable
from store.jobs import calls
from store.jobs.calls import Submitted
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.pointers import Pointer, StartingState
from store.jobs.record import Record
from store.redis.functions import send_async
from store.storage import starting_state
from store.storage.starting_state import Gone

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"], route_class=SpecBodyRoute)

TRIES = 5
"""Maximum attempts to copy a checkpoint. If the file is gone, the parent's record is read again."""


class Cloner:
    """Makes a clone of the job in the URL."""

    def __init__(
        self,
        job_id: str,
        tenant: TenantName,
        client: Client,
        files: StoredFiles,
        threads: Threads,
    ) -> None:
        self._job_id, self._tenant = job_id, tenant
        self._client, self._files, self._threads = client, files, threads

    async def submit(self, clone: CloneSpec, key: str) -> Submitted:
        """
        Submit the clone.

        If *key*, the Idempotency-Key, was used before, return the earlier submission instead.
        """
        body_sha = await self._threads.run(self._threads.size, clone.sha256, self._job_id)
        if key:  # before all else: the parent or its checkpoint may be gone
            recall = calls.recall(self._tenant, idempotency_key=key, body_sha=body_sha)
            known = await send_async(self._client, recall)
            if known is not None:
                return known
        # The spec is checked before anything is copied: most errors are in the changes.
        parent = await self._parent()
        spec = await self._threads.run(self._size(parent), merged, parent, clone)
        new = new_id()
        # Copied before the record exists, since a worker may claim the job at once. If this process
        # dies in between, or the store does not respond and may have accepted the job, the copy
        # stays: a copy that no record points to is removed as an orphan.
        start = await self._starting_state(clone, spec, new)
        before = await self._threads.run(self._size(parent), trained_on, parent)
        fields = await self._threads.run(self._size(parent), new_fields, spec, start, before)
        call = calls.submit(self._tenant, new, fields, idempotency_key=key, body_sha=body_sha)
        submitted = await send_async(self._client, call)
        if submitted.outcome != "created":  # two equal requests came at the same time
            await self._discard(new)
        return submitted

    async def validated(self, clone: CloneSpec) -> tuple[JobSpec, list[str], int]:
        """
        Check the clone as `submit` does, but copy and store nothing.

        Return the clone's spec, the warnings about its validation examples, and the number of
        bytes of JSON to process for it.
        """
        parent = await self._parent()
        size = self._size(parent)
        spec = await self._threads.run(size, merged, parent, clone)
        # Called for its errors: they say whether `submit` would find a state to copy.
        source_of(parent, clone)
        await self._threads.run(size, check_fits, parent, spec, clone)
        before = await self._threads.run(size, trained_on, parent)
        return spec, warnings(spec.dataset, before), size

    async def _starting_state(self, clone: CloneSpec, spec: JobSpec, new: str) -> StartingState:
        """Copy the checkpoint that the clone starts from; return the clone's starting state."""
        for _ in range(TRIES):
            parent = await self._parent()
            source = source_of(parent, clone)
            await self._threads.run(self._size(parent), check_fits, parent, spec, clone)
            try:
                copy = await self._copy(source, new, clone.keep)
            except Gone:
                continue
            except Damaged as error:
                raise NothingToClone(
                    f"the checkpoint of job {parent.id} at step {source.step} is damaged: {error}"
                ) from None
            return StartingState(
                parent.id, copy.step, copy.path, copy.sha256, clone.keep, clone.weights
            )
        raise NothingToClone(
            f"the checkpoint of job {parent.id} at step {source.step} is not in this service's "
            "storage"
        )

    async def _copy(self, source: Pointer, new: str, keep: Keep) -> Pointer:
        """
        Copy *source* for the job with the id *new*; return a pointer to the copy.

        If the request is cancelled, the copy is deleted.
        """
        files, unwanted = self._files, threading.Event()
        # The time limit for the copy grows with the size of the file.
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
        except BaseException:  # also a cancellation: the thread continues, and must clean up
            unwanted.set()
            raise

    async def _discard(self, new: str) -> None:
        """
        Remove the copy for *new*, the id of a job that was not created.

        If the copy cannot be removed now, the service deletes it later, as it does with all files
        that no job's record points to.
        """
        files = self._files
        with suppress(StorageUnavailable):
            await files.copy(new, 0, starting_state.forget, files.storage, self._tenant, new)

    async def _parent(self) -> Record:
        record = await send_async(self._client, calls.look(self._tenant, self._job_id))
        if record is None:
            raise JobNotFound(self._job_id)
        return record

    def _size(self, parent: Record) -> int:
        """Return the number of bytes of JSON to process for a clone of *parent*."""
        return self._threads.size + len(parent.fields["spec"])


@router.post(
    "/clone/validate",
    response_model=Plan,
    responses=documented(JobNotFound, NothingToClone, Busy),
)
async def validate_clone(
    clone: SpecBody[CloneSpec],
    cloner: Annotated[Cloner, Depends()],
    services: Services,
) -> Response:
    """
    Return the plan of a clone of the job without submitting the clone.

    The request and its errors are those of `clone`. But the files from which the clone would start
    are not read, so a damaged file is not noticed. The warnings of the plan include those that the
    clone would have in `parent.warnings`.
    """
    spec, known, size = await cloner.validated(clone)
    times = await services.expected_times.of(spec)
    text = await services.threads.run(size + checking_cost(spec), plan_text, spec, times, known)
    return Response(text, media_type="application/json")


@router.post(
    "/clone",
    status_code=201,
    response_model=Job,
    responses=documented(JobNotFound, NothingToClone, StorageUnavailable),
)
async def clone_job(
    *,
    clone: SpecBody[CloneSpec],
    cloner: Annotated[Cloner, Depends()],
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """
    Submit a clone of the job: a new job that starts at step 0 with the weights of this job.

    With `"keep": "optimizer"`, the clone continues the training: with the optimizer's state, and
    from the same position in the order of the examples. This is also possible after the last step
    of a job that has succeeded. The clone's schedule begins at step 0. A schedule of the kind
    `shift` begins at a later step of another schedule.

    `changes` is a JSON merge patch (RFC 7396) to the spec that this job was submitted with. Fields
    that are neither in `changes` nor in that spec get their defaults. If `changes` sets another
    `kind`, the fields that the new kind does not have are removed. If `changes` sets `steps`, then
    `epochs` is removed, and vice versa.

    The clone's network must have weights with the same names and shapes as this job's network,
    running statistics included. Three fields list exceptions: `prefixes` lists weights that have
    another name in the clone, `fresh` lists weights of the clone that are initialised, and `omit`
    lists weights of this job that the clone does not take. If other weights differ, the request is
    refused, and the error lists the differences.

    The clone has its own copy of the weights, so this job may be removed afterwards.

    If the weights were trained on examples that the clone validates with, `parent.warnings` says
    so.
    """
    submitted = await cloner.submit(clone, idempotency_key or "")
    response = await submitted_response(submitted, render=services.render, threads=services.threads)
    await wake_workers(services.blocking_client, submitted.wakeups, submitted.record.id)
    return response
