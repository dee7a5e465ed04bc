"""
The errors that the API reports to clients, each with its HTTP status and code.

    JobError
      JobNotFound            404  no such job, or another tenant's
      ArtifactNotFound       404  the job has no such file
      NameNotFound           404  the catalogue has no such entry
      NothingToClone         409  the job has no such checkpoint, or that checkpoint is damaged
      JobRunning             409  a worker is training the job: pause the job first
      JobEnded               409  the job's state is final
      RowsWereTruncated      409  steps that the client had read were then removed (truncated)
      NotAcceptable          406  Accept allows no representation of the resource
      IdempotencyConflict    422  the Idempotency-Key was used before, with another body
      RecordUnreadable       500  the job's record in Redis is damaged
      RecordTooNew           503  a newer release has written the job's record
      ArchiveUnreadable      500  a file with the rows or the history of a job is missing or damaged
      Busy                   503  too many requests are waiting to be processed
      StoreUnavailable       503  Redis does not respond, or cannot write
      StorageUnavailable     503  a file in the storage cannot be read now
    StoreUnsafe                   Redis could lose jobs: the process that checks this does not start
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import redis

from optcore.spec.errors import did_you_mean, short_repr


class JobError(Exception):
    """
    An error that the API reports as an HTTP problem.

    Attributes:
        status: the HTTP status.
        code: the problem's machine-readable code.
        title: the problem's title.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]


class JobNotFound(JobError):
    """There is no such job for this tenant."""

    status, code, title = 404, "job_not_found", "No such job"

    def __init__(self, job_id: str) -> None:
        # The same text for another tenant's job: it must not reveal that such a job exists.
        super().__init__(f"job {short_repr(job_id)} does not exist")


class ArtifactNotFound(JobError):
    """The job has no artifact with this name; a job has artifacts only once it has succeeded."""

    status, code, title = 404, "artifact_not_found", "No such artifact"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = list(known)
        has = f"it has {', '.join(names)}" if names else "it has none until it has succeeded"
        super().__init__(f"the job has no artifact {short_repr(name)}; {has}")


class NameNotFound(JobError):
    """The catalogue has no entry with this name."""

    status, code, title = 404, "name_not_found", "No such entry"

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        near = did_you_mean(name, names)
        super().__init__(
            f"{noun} {short_repr(name)} does not exist{near} (known: {', '.join(names)})"
        )


class NothingToClone(JobError):
    """The job has no saved state that a clone could start from."""

    status, code, title = 409, "nothing_to_clone", "Nothing to clone"


class JobRunning(JobError):
    """A worker is training the job, so the requested change is not possible now."""

    status, code, title = 409, "job_running", "The job is running"

    def __init__(self, job_id: str, what: str) -> None:
        super().__init__(
            f"job {job_id} is running: only a queued or paused job can {what}; pause it first"
        )


class JobEnded(JobError):
    """The job's state is final, so the requested change is not possible."""

    status, code, title = 409, "job_ended", "The job has ended"

    def __init__(self, job_id: str, state: str, what: str) -> None:
        super().__init__(
            f"job {job_id} has ended ({state}): only a queued or paused job can {what}"
        )


class RowsWereTruncated(JobError):
    """Steps that the client had read were then removed (truncated), and are computed again."""

    status, code, title = 409, "rows_truncated", "Steps were truncated"

    def __init__(self, job_id: str, first: int, truncations: int) -> None:
        super().__init__(
            f"steps of job {job_id} from {first} on were truncated and are computed again: discard "
            # A cursor holds the last step that the client keeps, and the number of truncations that
            # the client knows of.
            f"those you have, and resume with after={first - 1}&truncations={truncations}"
        )


class IdempotencyConflict(JobError):
    """The Idempotency-Key was used before, with another body."""

    status, code, title = 422, "idempotency_conflict", "Idempotency-Key used before"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"this Idempotency-Key belongs to job {job_id}, which was posted with another body"
        )


class NotAcceptable(JobError):
    """The resource has no representation that the request's Accept header allows."""

    status, code, title = 406, "not_acceptable", "Not acceptable"

    def __init__(self, accept: str, known: Iterable[str]) -> None:
        super().__init__(f"Accept must allow one of {', '.join(known)}, got {short_repr(accept)}")


class RecordUnreadable(JobError, redis.ResponseError):
    """
    The record of a job in Redis is damaged.

    This error is also a redis.ResponseError: code that handles errors from Redis handles it too.
    """

    status, code, title = 500, "record_unreadable", "The job's record cannot be read"

    def __init__(self, why: str) -> None:
        super().__init__(f"the job's record in Redis is damaged: {why}; see optserve doctor")


class RecordTooNew(JobError, redis.ResponseError):
    """
    A newer release wrote the job's record, in a format that this release would misread.

    Like `RecordUnreadable`, this error is also a redis.ResponseError.
    """

    # 503 and not 500: nothing is damaged, and a process that runs the newer release can answer the
    # request.
    status, code, title = 503, "record_too_new", "The job's record is too new"

    def __init__(self, found: str, known: int) -> None:
        super().__init__(
            f"a newer release of optserve has written the job's record (format {found}; this "
            f"release knows formats up to {known}): send the request to a service with that release"
        )


class ArchiveUnreadable(JobError):
    """A file that holds the steps or the history of a job is missing or damaged."""

    # 500 and not 503: a file with the wrong content stays wrong, however often it is read.
    status, code, title = 500, "archive_unreadable", "A file of the job cannot be read"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the file {path} in the storage {why}")


class Busy(JobError):
    """Too many requests are already waiting to be parsed, checked or planned."""

    status, code, title = 503, "busy", "The service is busy"

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} requests are already waiting to be parsed, checked or planned; try again"
        )


class StoreUnavailable(JobError):
    """Redis does not respond, or cannot write."""

    status, code, title = 503, "store_unavailable", "The store does not answer"


class StorageUnavailable(JobError):
    """A file in the storage cannot be read now: the mount hangs, returns errors or is missing."""

    status, code, title = 503, "storage_unavailable", "The storage does not answer"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the file {path} in the storage {why}")


class StoreUnsafe(Exception):
    """Redis is configured so that it could lose accepted jobs."""


@contextmanager
def damage_told() -> Iterator[None]:
    """Raise `RecordUnreadable` in place of the errors that damage to a record raises."""
    try:
        yield
    # ValueError includes errors from pydantic and JSON, and unknown states; a pointer with unknown
    # fields raises TypeError.
    except (LookupError, TypeError, ValueError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split("\n", 1)[0]
        raise RecordUnreadable(what) from None
