"""
What can go wrong between a client and its service, and where one is to be started.

    StackError         the local stack cannot be started
    ClientError
      BadAddress       the URL cannot be one of a service (also a ValueError)
      BadJob           the job cannot be said in JSON (also a ValueError)
      ServiceError     the service refused the request; .problem
      NotTheService    what answered is something else
      Unreachable      nobody answers
        Unanswered     a job was sent and no answer came: it may have been accepted
"""

from __future__ import annotations

from optcore.spec.errors import lines
from optserve.contract.answers.problems import Problem

AWAY = 503
"""Status of a service that cannot do anything now, but soon may."""


class StackError(Exception):
    """The local stack cannot be started; the text says why and what to do."""


class ClientError(Exception):
    """A request that came to nothing; the text says why and what to do."""


class BadAddress(ClientError, ValueError):
    """The URL cannot be one of a service."""


class BadJob(ClientError, ValueError):
    """The job holds what JSON cannot say."""


class ServiceError(ClientError):
    """
    The service refused a request.

    Attributes:
        problem: what it said.
    """

    def __init__(self, problem: Problem) -> None:
        mistakes = [(m.param, m.message) for m in problem.errors]
        super().__init__("\n".join(lines(mistakes, problem.more_errors)) or problem.detail)
        self.problem = problem

    @property
    def refused(self) -> bool:
        """Whether the request is at fault, and nothing was done."""
        return self.problem.status < 500  # noqa: PLR2004


class NotTheService(ClientError):
    """Something answered, but not as an optserve service does."""


class Unreachable(ClientError):
    """
    The service does not answer.

    Attributes:
        sent: whether it may have heard the request all the same.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class Unanswered(Unreachable):
    """
    A job was sent, and it is not known whether it was accepted.

    Attributes:
        idempotency_key: submitting the same job with it finds the job or makes it, never both.
    """

    def __init__(self, cause: ClientError, idempotency_key: str) -> None:
        super().__init__(
            f"{cause}\nIt is not known whether the job was accepted. Submit it again with the "
            f"idempotency key {idempotency_key}: that finds it or makes it, and never a second one",
            sent=True,
        )
        self.idempotency_key = idempotency_key
