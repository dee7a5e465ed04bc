"""HTTP with one service: what comes back is a typed answer or a `ClientError`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from optcore.spec.errors import problems
from optserve.client.addresses import checked, masked
from optserve.client.errors import NotTheService, ServiceError, Unreachable
from optserve.contract.answers.problems import Problem

Answer = TypeVar("Answer", bound=BaseModel)

ANSWER_S = 30.0
"""Seconds an answer may take."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Failures before the first byte of the request went out."""


class Connection:
    """
    HTTP with one service.

    Attributes:
        url: of the service, without its secrets.
    """

    def __init__(self, url: str) -> None:
        parsed = checked(url)
        self.url = masked(str(parsed))
        # A proxy of the environment is for what is far away.
        self._http = httpx.Client(
            base_url=parsed, timeout=ANSWER_S, trust_env=not _is_loopback(parsed.host)
        )

    def ask(
        self,
        answer: type[Answer],
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | float | Sequence[str]] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """
        Return what the service answers.

        Raises:
            ServiceError: it refused.
            NotTheService: something else answered.
            Unreachable: nothing did.
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
            raise self.not_understood(f"{method} {path}", error) from None

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        silence_s: float = ANSWER_S,
    ) -> Iterator[httpx.Response]:
        """Give an answer that is read while it comes; a break in it is `Unreachable`."""
        timeout = httpx.Timeout(ANSWER_S, read=silence_s)
        try:
            with self._http.stream(
                "GET", path, headers=headers, params=params, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                self._check(response)
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def not_understood(self, asked: str, error: ValidationError) -> NotTheService:
        """Return the error for an answer to *asked* that is not what it should be."""
        (problem, *_), _ = problems(error.errors(include_url=False)[:1], None)
        return NotTheService(
            f"{self.url} answered {asked} with something this optserve does not understand "
            f"({problem.param}: {problem.message}); "
            "is it another service, or another version of this one?"
        )

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        said = f"{response.status_code} {response.reason_phrase}".strip()
        if response.is_redirect:
            raise NotTheService(f"{self.url} moved to {response.headers['location']}; use that URL")
        try:
            raise ServiceError(Problem.model_validate_json(response.content))
        except ValidationError:
            pass
        if response.is_client_error:
            raise NotTheService(
                f"{self.url} answered {response.request.method} {response.url.path} with {said}, "
                "not as an optserve service does; does something else listen there?"
            )
        raise ServiceError(
            Problem(
                title=response.reason_phrase,
                status=response.status_code,
                detail=f"{self.url} answered {said}",
                code="unknown",
            )
        )

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        why = str(error) or type(error).__name__
        return Unreachable(
            f"{self.url} does not answer: {why}", sent=not isinstance(error, NEVER_SENT)
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
