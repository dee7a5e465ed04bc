"""The files of a job: its checkpoints and artifacts."""

from __future__ import annotations

from fastapi import APIRouter

from api.http.dependencies import JobRecord, StoredFiles
from api.http.downloads import Download
from api.http.problems import documented
from optserve.contract.answers.base import Page
from optserve.contract.answers.checkpoints import Checkpoint
from store.errors import ArchiveUnreadable, ArtifactNotFound, JobNotFound, StorageUnavailable

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/checkpoints", responses=documented(JobNotFound, StorageUnavailable))
async def list_checkpoints(record: JobRecord, files: StoredFiles) -> Page[Checkpoint]:
    """Return a job's retained checkpoints, oldest first. A clone can start from any of them."""
    data = [
        Checkpoint(
            step=pointer.step,
            sha256=pointer.sha256,
            size=await files.read(pointer.path, 0, files.storage.size, pointer.path),
            best=record.best is not None and pointer.step == record.best.step,
        )
        for pointer in record.retained()
    ]
    return Page(data=data, has_more=False, next=None)


@router.get(
    "/artifacts/{name}",
    response_class=Download,
    responses=documented(JobNotFound, ArtifactNotFound, ArchiveUnreadable, StorageUnavailable),
)
async def read_artifact(record: JobRecord, files: StoredFiles, name: str) -> Download:
    """
    Return a file that a job saved when it succeeded.

    - `model.safetensors`: the weights after the last step, which `result.metrics` were measured
      with. If the optimizer averages weights for evaluations, as schedule-free optimizers do, the
      file contains these averaged weights.
    - `ema.safetensors`: the moving average of the weights, if the job computes one. The names of
      metrics that were measured with this average begin with `ema_`.
    - `best.safetensors`: the weights after the job's best step, which `result.best` describes. Only
      a job that sets `training.keep_best` has this file.
    """
    # The name is looked up, and never made part of a path: paths come from the record.
    artifacts = record.artifacts
    if name not in artifacts:
        raise ArtifactNotFound(name, artifacts)
    try:
        file = await files.open(artifacts[name]["path"])
    except FileNotFoundError:
        # Not a 404, which would mean that the job has no such file yet: the record lists one.
        raise ArchiveUnreadable(artifacts[name]["path"], "is missing") from None
    return Download(
        file,
        filename=name,
        media_type="application/octet-stream",
        headers={
            # Together with FileResponse's Content-Disposition, this keeps a browser from running
            # the content of the file.
            "X-Content-Type-Options": "nosniff",
            # Instead of starlette's ETag, which is made from the file's time and size.
            "ETag": f'"{artifacts[name]["sha256"]}"',
        },
    )
