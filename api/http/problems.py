"""Error responses: each one is a problem document, as RFC 9457 defines it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from api.http.validated_body import ValidatedBody
from optcore.spec.errors import RULE, SpecError, first_of, lines, problems, truncate
from optcore.spec.errors import Problem as SpecProblem
from optserve.contract.answers.problems import InvalidParam, Problem
from store.errors import JobError, StoreUnavailable
from store.redis.functions import UNAVAILABLE
from store.storage.usable import FULL, NO_DESCRIPTOR

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STORE_DOWN = "the store does not answer; try again"
STORE_DOWN_POST = (
    "the store does not answer, and it is not known whether the request was accepted; "
    "send it again with the same Idempotency-Key"
)
RETRY_AFTER_S = 2
"""Retry-After while the store does not respond, in seconds."""
MAX_DETAIL = 2000
"""Maximum length of a detail, in characters. A detail may quote what the client has sent."""

RETRY_FULL_S = 60
"""Retry-After while the storage is full, in seconds."""


def answer(
    *,
    status: int,
    title: str,
    detail: str,
    code: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """
    Return a response whose body is a problem document.

    Args:
        status: the HTTP status.
        title: the title of the problem.
        detail: what is wrong with this request; truncated to `MAX_DETAIL` characters.
        code: the machine-readable code of the problem.
        headers: additional headers of the response.
    """
    problem = Problem(title=title, status=status, detail=truncate(detail, MAX_DETAIL), code=code)
    return Response(problem.model_dump_json(), status, headers, MEDIA_TYPE)


def invalid_response(errors: Sequence[InvalidParam], more: int) -> Response:
    """Return the 422 response that lists *errors*; *more* is the number of errors not listed."""
    problem = Problem(
        title=INVALID_TITLE,
        status=422,
        detail="; ".join(lines([(m.param, m.message) for m in errors], more)),
        code="invalid_request",
        errors=list(errors),
        more_errors=more,
    )
    return Response(problem.model_dump_json(), problem.status, media_type=MEDIA_TYPE)


def invalid(param: str, message: str, value: object) -> RequestValidationError:
    """Return the validation error for a query parameter that has the right type but is invalid."""
    error = {"type": RULE, "loc": ("query", param), "msg": message, "input": value}
    return RequestValidationError([error])


def documented(*errors: type[JobError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries for the *errors* that a route may respond with."""
    return {error.status: _described(error.title) for error in errors}


def _described(title: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}


INVALID_TITLE = "The request is not valid"
EVERYWHERE: dict[int | str, dict[str, Any]] = {422: _described(INVALID_TITLE)}
"""The OpenAPI entries for the errors that any route may respond with."""


def install(app: FastAPI) -> None:
    """Make *app* respond to every exception with a problem document."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SpecError, _spec_error)
    app.add_exception_handler(JobError, _job_error)
    app.add_exception_handler(HTTPException, _http)
    for error in UNAVAILABLE:
        app.add_exception_handler(error, _unavailable)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(Exception, _internal)


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    listed, more = first_of(error.errors())
    body = error.body.data if isinstance(error.body, ValidatedBody) else error.body
    return invalid_response([_invalid_param(details, body) for details in listed], more)


async def _spec_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, SpecError)
    return invalid_response([_as_param(problem) for problem in error.problems], error.more)


def _invalid_param(details: ErrorDetails, body: object) -> InvalidParam:
    """
    Convert pydantic's error *details*.

    The name of the parameter in the result does not include its source, such as body or query.
    """
    source, *path = details["loc"]
    bare = cast("ErrorDetails", {**details, "loc": tuple(path) or (source,)})
    (problem,), _ = problems([bare], body if source == "body" else None)
    return _as_param(problem)


def _as_param(problem: SpecProblem) -> InvalidParam:
    return InvalidParam(param=problem.param, message=problem.message)


async def _job_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, JobError)
    return job_error_response(error)


def job_error_response(error: JobError) -> Response:
    """Return the response for *error*, with Retry-After if the request may succeed later."""
    # Only a 503 can be different later; any other error would be the same again.
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
        # For the Allow header, which RFC 9110, section 15.5.6 requires in a 405.
        headers=error.headers,
    )


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("%s %s: the store does not answer: %s", request.method, request.url.path, error)
    return answer(
        status=StoreUnavailable.status,
        title=StoreUnavailable.title,
        detail=STORE_DOWN_POST if request.method == "POST" else STORE_DOWN,
        code=StoreUnavailable.code,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _os_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno in NO_DESCRIPTOR:
        log.warning("%s %s: no descriptor is left: %s", request.method, request.url.path, error)
        return answer(
            status=503,
            title="The service is out of descriptors",
            detail="the service has reached its limit of open files and connections; try again",
            code="out_of_descriptors",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    if error.errno not in FULL:
        return await _internal(request, error)
    log.warning("%s %s: the storage is full: %s", request.method, request.url.path, error)
    return answer(
        status=StoreUnavailable.status,
        title="The storage is full",
        detail="the storage has no space for the files of this request; try again later",
        code="storage_full",
        headers={"Retry-After": str(RETRY_FULL_S)},
    )


async def _internal(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(
        status=500,
        title="Internal error",
        detail="this is an error of the service, whose log has the details",
        code="internal_error",
    )
