"""HTTP to one service: every request returns a typed response or raises a `ClientError`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from optcore.spec.errors import problems
from optserve.client.addresses import parse_url, redact
from optserve.client.errors import NotTheService, ServiceError, Unreachable
from optserve.contract.answers.problems import Problem

Answer = TypeVar("Answer", bound=BaseModel)
Params = dict[str, str | float | Sequence[str]]
"""Parameters of a URL's query, by name."""

ANSWER_S = 30.0
"""Maximum seconds for connecting, for sending, and for each single read of a response."""
# WriteError and WriteTimeout are not among them: part of the request may have arrived.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Errors that occur before the first byte of the request is sent."""


class Connection:
    """
    HTTP connections to one service.

    Attributes:
        url: URL of the service, without user name and passwords.
    """

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self.url = redact(str(parsed))
        # HTTP_PROXY is often set on machines whose proxy cannot reach their own loopback.
        self._http = httpx.Client(
            base_url=parsed, timeout=ANSWER_S, trust_env=not _is_loopback(parsed.host)
        )

    def request(
        self,
        answer: type[Answer],
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """
        Send a request; return the service's response as an instance of *answer*.

        Raises:
            ServiceError: the service responded with an error.
            NotTheService: something other than an optserve service responded.
            Unreachable: there was no response.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            response = self._http.request(
                method, path, content=content, headers=sent, params=params, timeout=timeout_s
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._check(response)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise self.unexpected_answer(f"{method} {path}", error) from None

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        silence_s: float = ANSWER_S,
    ) -> Iterator[httpx.Response]:
        """
        Open a GET request whose response is read as it arrives.

        Raises:
            ServiceError: the service responded with an error.
            NotTheService: something other than an optserve service responded.
            Unreachable: no connection could be opened within 30 s (`ANSWER_S`), the connection
                broke, or no data arrived for *silence_s* seconds.
        """
        timeout = httpx.Timeout(ANSWER_S, read=silence_s)
        try:
            with self._http.stream(
                "GET", path, headers=headers, params=params, timeout=timeout
            ) as response:
                if not response.is_success:
                    # `_check` parses the content, which a streamed response has only after
                    # `read`.
                    response.read()
                self._check(response)
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def unexpected_answer(self, request: str, error: ValidationError) -> NotTheService:
        """Return the error for a response to *request* that does not have the expected fields."""
        (problem, *_), _ = problems(error.errors(include_url=False)[:1], None)
        return NotTheService(
            f"{self.url} answered {request} with something this optserve does not understand "
            f"({problem.param}: {problem.message}). "
            "Check the URL: another service, or another version of optserve, may listen there"
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        status = f"{response.status_code} {response.reason_phrase}".strip()
        # Not followed: after most redirects httpx would send a POST again as a GET.
        if response.is_redirect:
            raise NotTheService(f"{self.url} moved to {response.headers['location']}; use that URL")
        try:
            raise ServiceError(Problem.model_validate_json(response.content))
        except ValidationError:
            pass
        if response.is_client_error:
            raise NotTheService(
                f"{self.url} answered {response.request.method} {response.url.path} with {status}, "
                "but not as an optserve service does. Check the URL: something else may listen "
                "there"
            )
        # A proxy in front of the service sends 502 to 504 in a format of its own. The service may
        # well be available, so the error is not `NotTheService`.
        raise ServiceError(
            Problem(
                title=response.reason_phrase,
                status=response.status_code,
                detail=f"{self.url} answered {status}",
                code="unknown",
            )
        )

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        why = str(error) or type(error).__name__
        return Unreachable(
            f"{self.url} does not answer: {why}", sent=not isinstance(error, NEVER_SENT)
        )


def given(**params: str | float | Sequence[str] | None) -> Params:
    """Return the parameters in *params* whose values are not None."""
    return {name: value for name, value in params.items() if value is not None}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
