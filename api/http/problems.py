"""Errors as answers: every one is a problem body in the form of RFC 9457."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from api.http.spec_body import Checked
from optcore.spec.errors import RULE, SpecError, cut, first_of, lines, problems
from optcore.spec.errors import Problem as SpecProblem
from optserve.contract.answers.problems import InvalidParam, Problem
from store.errors import JobError, StoreUnavailable
from store.redis.functions import UNAVAILABLE
from store.storage.usable import FULL, NO_DESCRIPTOR

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
AWAY = "the store does not answer; try again"
UNKNOWN = (
    "the store does not answer, and it is not known whether it has accepted this; "
    "send it again with the same Idempotency-Key"
)
RETRY_AFTER_S = 2
"""Seconds after which a client may try again while the store is away."""
MAX_DETAIL = 2000
"""Characters of an explanation; what a client has sent is part of some."""

RETRY_FULL_S = 60
"""Seconds after which a client may try again while the storage is full."""


def answer(
    *,
    status: int,
    title: str,
    detail: str,
    code: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem as a response."""
    problem = Problem(title=title, status=status, detail=cut(detail, MAX_DETAIL), code=code)
    return Response(problem.model_dump_json(), status, headers, MEDIA_TYPE)


def refusal(mistakes: Sequence[InvalidParam], more: int) -> Response:
    """Return the response to a request with *mistakes*, and *more* that are not told."""
    problem = Problem(
        title=INVALID_TITLE,
        status=422,
        detail="; ".join(lines([(m.param, m.message) for m in mistakes], more)),
        code="invalid_request",
        errors=list(mistakes),
        more_errors=more,
    )
    return Response(problem.model_dump_json(), problem.status, media_type=MEDIA_TYPE)


def invalid(param: str, message: str, value: object) -> RequestValidationError:
    """Return the error for a query parameter that breaks a rule that no type says."""
    mistake = {"type": RULE, "loc": ("query", param), "msg": message, "input": value}
    return RequestValidationError([mistake])


def documented(*errors: type[JobError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of a route's errors."""
    return {error.status: _described(error.title) for error in errors}


def _described(title: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}


INVALID_TITLE = "The request is not valid"
EVERYWHERE: dict[int | str, dict[str, Any]] = {422: _described(INVALID_TITLE)}
"""The OpenAPI entries of errors that any route may answer with."""


def install(app: FastAPI) -> None:
    """Make *app* answer its errors with problems."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SpecError, _spec_error)
    app.add_exception_handler(JobError, _job_error)
    app.add_exception_handler(HTTPException, _http)
    for error in UNAVAILABLE:
        app.add_exception_handler(error, _unavailable)
    app.add_exception_handler(OSError, _of_system)
    app.add_exception_handler(Exception, _ours)


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    told, more = first_of(error.errors())
    body = error.body.data if isinstance(error.body, Checked) else error.body
    return refusal([_mistake(details, body) for details in told], more)


async def _spec_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, SpecError)
    return refusal([_told(problem) for problem in error.problems], error.more)


def _mistake(details: ErrorDetails, body: object) -> InvalidParam:
    """Return what one of pydantic's errors says, without the place the value came from."""
    source, *path = details["loc"]
    bare = cast("ErrorDetails", {**details, "loc": tuple(path) or (source,)})
    (problem,), _ = problems([bare], body if source == "body" else None)
    return _told(problem)


def _told(problem: SpecProblem) -> InvalidParam:
    return InvalidParam(param=problem.param, message=problem.message)


async def _job_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, JobError)
    return told(error)


def told(error: JobError) -> Response:
    """Return *error* as a response."""
    again = {"Retry-After": str(RETRY_AFTER_S)} if error.status == StoreUnavailable.status else None
    return answer(
        status=error.status, title=error.title, detail=str(error), code=error.code, headers=again
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:  # noqa: PLR2004
        detail = f"{request.url.path} does not exist; see /docs"
    if error.status_code == 405:  # noqa: PLR2004
        detail = f"{request.method} is not allowed on {request.url.path}"
    return answer(
        status=error.status_code,
        title=str(error.detail),
        detail=detail,
        code=str(error.detail).lower().replace(" ", "_"),
        headers=error.headers,
    )


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("%s %s: the store is away: %s", request.method, request.url.path, error)
    return answer(
        status=StoreUnavailable.status,
        title=StoreUnavailable.title,
        detail=UNKNOWN if request.method == "POST" else AWAY,
        code=StoreUnavailable.code,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _of_system(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno in NO_DESCRIPTOR:
        log.warning("%s %s: no descriptor is left: %s", request.method, request.url.path, error)
        return answer(
            status=503,
            title="The service is out of descriptors",
            detail="the service has as many files and connections open as it may; try again",
            code="out_of_descriptors",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    if error.errno not in FULL:
        return await _ours(request, error)
    log.warning("%s %s: the storage is full: %s", request.method, request.url.path, error)
    return answer(
        status=StoreUnavailable.status,
        title="The storage is full",
        detail="the storage has no room for the files of this; try again when there is space",
        code="storage_full",
        headers={"Retry-After": str(RETRY_FULL_S)},
    )


async def _ours(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(
        status=500,
        title="Internal error",
        detail="this is a mistake of the service; its log says more",
        code="internal_error",
    )
