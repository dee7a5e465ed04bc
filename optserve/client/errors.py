"""
The errors of a client.

    ClientError
      BadAddress       the URL cannot be the URL of a service (also a ValueError)
      BadJob           the job cannot be represented as JSON (also a ValueError)
      ServiceError     the service responded with an error; see .problem
      NotTheService    something other than an optserve service responded
      Unreachable      there was no response
        Unanswered     there was no response to a job, which may have been accepted
"""

from __future__ import annotations

from http import HTTPStatus

from optcore.spec.errors import lines
from optserve.contract.answers.problems import Problem


class ClientError(Exception):
    """A request failed; the message says why and what to do."""


class BadAddress(ClientError, ValueError):
    """The URL of the service is invalid, or the id of a job or the name of a file is empty."""


class BadJob(ClientError, ValueError):
    """The job contains a value that JSON cannot represent, or its idempotency key is invalid."""


class ServiceError(ClientError):
    """
    The service responded to a request with an error.

    Attributes:
        problem: the error response of the service.
        idempotency_key: the key of the submission, if an earlier attempt with this key may have
            created the job; otherwise ''.
    """

    def __init__(self, problem: Problem, *, idempotency_key: str = "") -> None:
        mistakes = [(m.param, m.message) for m in problem.errors]
        text = "\n".join(lines(mistakes, problem.more_errors)) or problem.detail
        if idempotency_key:
            text += (
                "\nAn earlier attempt may have been accepted. Submit the job again with the "
                f"idempotency key {idempotency_key}: that never creates a second job"
            )
        super().__init__(text)
        self.problem, self.idempotency_key = problem, idempotency_key

    @property
    def refused(self) -> bool:
        """Whether the service rejected the request because of an error in it, and did nothing."""
        return self.problem.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed soon."""
        # 502 and 504 come from proxies, and do not say whether the service carried out the request.
        return self.problem.status == HTTPStatus.SERVICE_UNAVAILABLE


class NotTheService(ClientError):
    """Something responded, but not as an optserve service does."""


class Unreachable(ClientError):
    """
    The service does not respond.

    Attributes:
        sent: whether the service may have received the request, although it sent no response.
        is_temporary: whether the same request may succeed soon.
    """

    is_temporary = True

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class Unanswered(Unreachable):
    """
    A job was sent, and it is unknown whether the service accepted it.

    Attributes:
        idempotency_key: key of the request. Submit the same job again with this key: the service
            then returns the job that it accepted before, or accepts the job now.
    """

    def __init__(self, cause: ClientError, idempotency_key: str) -> None:
        super().__init__(
            f"{cause}\nThe job may or may not have been accepted. Submit it again with the "
            f"idempotency key {idempotency_key}: that never creates a second job",
            sent=True,
        )
        self.idempotency_key = idempotency_key
