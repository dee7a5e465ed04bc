"""Clones: jobs that begin with the weights of another one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from api.accepted import answer
from api.bells import ring
from api.cloning import check_fits, source_of
from api.dependencies import ArtifactStorage, BlockingClient, Shown, TenantName
from api.problems import documented
from jobs import calls, inheritance
from jobs.calls import Submitted
from jobs.errors import JobNotFound, NothingToClone
from jobs.functions import send
from jobs.inheritance import Damaged, Gone
from jobs.record import Inherited, Record, new_fields, new_id
from jobs.spec.clone import CloneSpec, merge_patch
from jobs.spec.job import JobSpec
from jobs.spec.wire import Job
from optcore.schedules.check import check_values

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

TRIES = 5
"""Times that a job is looked up again whose checkpoint was swept while it was copied."""


class Cloning:
    """What it takes to make a clone of the job in the path."""

    def __init__(
        self,
        job_id: str,
        tenant: TenantName,
        client: BlockingClient,
        storage: ArtifactStorage,
    ) -> None:
        self._job_id, self._tenant = job_id, tenant
        self._client, self._storage = client, storage

    def submit(self, clone: CloneSpec, key: str) -> Submitted:
        """Return what became of the same request before, or make the clone."""
        body_sha = clone.sha256(self._job_id)
        if key:  # before all else: what it asked for need not be there any more
            recall = calls.recall(self._tenant, idempotency_key=key, body_sha=body_sha)
            known = send(self._client, recall)
            if known is not None:
                return known
        spec = JobSpec.parse(merge_patch(self._parent().posted, clone.changes))
        check_values(spec)
        new = new_id()
        fields = new_fields(spec, self._taken(clone, spec, new))
        call = calls.submit(self._tenant, new, fields, idempotency_key=key, body_sha=body_sha)
        submitted = send(self._client, call)
        if submitted.outcome != "created":  # somebody else was faster
            inheritance.forget(self._storage, self._tenant, new)
        return submitted

    def _taken(self, clone: CloneSpec, spec: JobSpec, new: str) -> Inherited:
        """Return the copy of what the clone begins with; a job that runs may sweep it meanwhile."""
        for _ in range(TRIES):
            parent = self._parent()
            source = source_of(parent, clone)
            check_fits(parent, spec, clone.keep)
            try:
                copy = inheritance.take(
                    self._storage, source, tenant=self._tenant, job_id=new, keep=clone.keep
                )
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

    def _parent(self) -> Record:
        record = send(self._client, calls.look(self._tenant, self._job_id))
        if record is None:
            raise JobNotFound(self._job_id)
        return record


@router.post("/clone", status_code=201, responses=documented(JobNotFound, NothingToClone))
def clone_job(
    *,
    clone: CloneSpec,
    cloning: Annotated[Cloning, Depends()],
    client: BlockingClient,
    shown: Shown,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Job:
    """
    Post a job that begins with the weights of this one, at its own step 0.

    `changes` is a JSON merge patch (RFC 7396) on this job as it was posted: what it left to
    defaults is left to them still. The network's parameters must stay the same. The new job has a
    copy of what it begins with: whatever becomes of this one, it can be trained.
    """
    submitted = cloning.submit(clone, idempotency_key or "")
    job = answer(submitted, shown=shown, response=response)
    ring(client, submitted.bells, job.id)
    return job
