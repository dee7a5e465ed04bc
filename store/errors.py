"""
What can go wrong with a job, for the client to know.

    JobError
      JobNotFound            404  no such job, or another tenant's
      ArtifactNotFound       404  the job has no such file
      NameNotFound           404  the catalogue has no such entry
      NothingToClone         409  the job has no such checkpoint, or it is damaged
      JobRunning             409  a worker has the job: pause it first
      JobEnded               409  the job's state is final
      RowsWereTruncated      409  steps that the client has are no longer what they were
      NotAcceptable          406  the answer is not to be had in a form that is accepted
      IdempotencyConflict    422  the key was used with another body
      RecordUnreadable       500  what the store has of the job is damaged
      RecordTooNew           503  a newer release has written the job's record
      ArchiveUnreadable      500  the file with rows or history of a job is missing or damaged
      Busy                   503  too many requests wait for a turn to be worked on
      StoreUnavailable       503  Redis does not answer
      StorageUnavailable     503  the files do not answer
    StoreUnsafe                   Redis would lose what it accepted: do not start
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import redis

from optcore.spec.errors import did_you_mean, short_repr


class JobError(Exception):
    """An error with a place in the HTTP interface."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]


class JobNotFound(JobError):
    """There is no such job for this tenant."""

    status, code, title = 404, "job_not_found", "No such job"

    def __init__(self, job_id: str) -> None:
        # The same words for a job of another tenant: they must not tell that it exists.
        super().__init__(f"job {short_repr(job_id)} does not exist")


class ArtifactNotFound(JobError):
    """The job has no file of that name (yet)."""

    status, code, title = 404, "artifact_not_found", "No such artifact"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = list(known)
        has = f"it has {', '.join(names)}" if names else "it has none until it has succeeded"
        super().__init__(f"the job has no artifact {short_repr(name)}; {has}")


class NameNotFound(JobError):
    """The catalogue has no such entry."""

    status, code, title = 404, "name_not_found", "No such entry"

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        near = did_you_mean(name, names)
        super().__init__(f"{noun} {short_repr(name)} does not exist{near} ({', '.join(names)})")


class NothingToClone(JobError):
    """The job has no state that another job could start from."""

    status, code, title = 409, "nothing_to_clone", "Nothing to clone"


class JobRunning(JobError):
    """A worker has the job, and would write what must not change now."""

    status, code, title = 409, "job_running", "The job is running"

    def __init__(self, job_id: str, what: str) -> None:
        super().__init__(
            f"job {job_id} is running: only a queued or paused job can {what}; pause it first"
        )


class JobEnded(JobError):
    """The job's state is final."""

    status, code, title = 409, "job_ended", "The job has ended"

    def __init__(self, job_id: str, state: str, what: str) -> None:
        super().__init__(
            f"job {job_id} has ended ({state}): only a queued or paused job can {what}"
        )


class RowsWereTruncated(JobError):
    """Steps that the client has are no longer those of the job."""

    status, code, title = 409, "rows_truncated", "Steps were truncated"

    def __init__(self, job_id: str, first: int, truncations: int) -> None:
        super().__init__(
            f"steps of job {job_id} from {first} on were truncated and are computed again: discard "
            # A cursor names the last step that the client keeps, and how many truncations it knows
            # of.
            f"those you have, and resume with after={first - 1}&truncations={truncations}"
        )


class IdempotencyConflict(JobError):
    """The key was used before, with another body."""

    status, code, title = 422, "idempotency_conflict", "Idempotency-Key used before"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"this Idempotency-Key belongs to job {job_id}, which was posted with another body"
        )


class NotAcceptable(JobError):
    """What the client accepts is not to be had."""

    status, code, title = 406, "not_acceptable", "Not acceptable"

    def __init__(self, accept: str, known: Iterable[str]) -> None:
        super().__init__(f"Accept must allow one of {', '.join(known)}, got {short_repr(accept)}")


class RecordUnreadable(JobError, redis.ResponseError):
    """
    What the store has in place of a job's record is not what was written.

    It is a redis.ResponseError too, so code that handles errors of the store handles it.
    """

    status, code, title = 500, "record_unreadable", "The job's record cannot be read"

    def __init__(self, why: str) -> None:
        super().__init__(f"what the store has of the job is damaged: {why}; see optserve doctor")


class RecordTooNew(JobError, redis.ResponseError):
    """
    A record is in a format of a newer release, which this one would read wrongly.

    It is an error of the store too, as above.
    """

    # 503 and not 500: nothing is damaged, and a process of the newer release can answer the
    # request.
    status, code, title = 503, "record_too_new", "The job is a newer release's"

    def __init__(self, found: str, known: int) -> None:
        super().__init__(
            f"a newer release of optserve has written the job's record (format {found}; this "
            f"release knows formats up to {known}): ask a service of that release"
        )


class ArchiveUnreadable(JobError):
    """A file to which the steps or the history of a job were moved is not what was written."""

    # 500 and not 503: content that was read and is wrong does not get right by trying again.
    status, code, title = 500, "archive_unreadable", "What is kept of the job cannot be read"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the file {path} of the storage {why}")


class Busy(JobError):
    """Too many requests wait whose work is large."""

    status, code, title = 503, "busy", "The service is busy"

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} requests wait to be parsed, checked or planned, and this one cannot; "
            "try again"
        )


class StoreUnavailable(JobError):
    """Redis does not answer, or cannot write."""

    status, code, title = 503, "store_unavailable", "The store does not answer"


class StorageUnavailable(JobError):
    """A file of the storage cannot be had now: its mount hangs, fails or is away."""

    status, code, title = 503, "storage_unavailable", "The storage does not answer"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the file {path} of the storage {why}")


class StoreUnsafe(Exception):
    """Redis is set up so that it would lose accepted jobs."""
