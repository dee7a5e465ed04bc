"""
What can go wrong between a client and its service.

    ClientError
      BadAddress       the URL cannot be that of a service (also a ValueError)
      BadJob           the job cannot be represented as JSON (also a ValueError)
      ServiceError     the service refused the request; .problem
      NotTheService    something other than an optserve service answered
      Unreachable      nothing answered
        Unanswered     a job was sent and no answer came: it may have been accepted
"""

from __future__ import annotations

from http import HTTPStatus

from optcore.spec.errors import lines
from optserve.contract.answers.problems import Problem


class ClientError(Exception):
    """A request failed; the text says why and what to do."""


class BadAddress(ClientError, ValueError):
    """The URL cannot be that of a service."""


class BadJob(ClientError, ValueError):
    """The job holds what JSON cannot represent."""


class ServiceError(ClientError):
    """
    The service refused a request.

    Attributes:
        problem: its answer.
        idempotency_key: of a job that an earlier attempt may have submitted; '' if none has.
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
        """Whether the request is at fault, and nothing was done."""
        return self.problem.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed soon."""
        # 502 and 504 come from proxies, and do not say whether the service did what was asked.
        return self.problem.status == HTTPStatus.SERVICE_UNAVAILABLE


class NotTheService(ClientError):
    """Something answered, but not as an optserve service does."""


class Unreachable(ClientError):
    """
    The service does not answer.

    Attributes:
        sent: whether the service may have received the request all the same.
        is_temporary: whether the same request may succeed soon.
    """

    is_temporary = True

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class Unanswered(Unreachable):
    """
    A job was sent, and whether it was accepted is unknown.

    Attributes:
        idempotency_key: submitting the same job with it returns that job or creates it.
    """

    def __init__(self, cause: ClientError, idempotency_key: str) -> None:
        super().__init__(
            f"{cause}\nThe job may or may not have been accepted. Submit it again with the "
            f"idempotency key {idempotency_key}: that never creates a second job",
            sent=True,
        )
        self.idempotency_key = idempotency_key
