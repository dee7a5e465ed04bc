"""Parameters that routes share, and the check that refuses unknown query parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.http.problems import invalid
from optcore.spec.errors import MORE, MOST_PROBLEMS, RULE, did_you_mean, short_repr
from optserve.contract.requests.job import LABEL_NAME, MAX_LABELS

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A request repeated with the same key returns the job of the first request.",
    ),
]
Accept = Annotated[str, Header(description="The preferred media types.")]
MAX_TRUNCATIONS = 10**6
Truncations = Annotated[
    int | None,
    Query(
        ge=0,
        le=MAX_TRUNCATIONS,
        description="The value of `truncations` in the page that gave `after`.",
    ),
]
LABEL = "label."
"""Prefix of the query parameters that filter by label."""
FILTERED = "/v1/jobs"
"""Path of the route whose results can be filtered by label."""


async def only_known(request: Request) -> None:
    """Raise an error if the request has a query parameter that the route does not declare."""
    if not request.scope["query_string"]:
        return
    # Otherwise a misspelt filter would be ignored, and the response would contain everything.
    route: APIRoute = request.scope["route"]
    known = list(dict.fromkeys(_declared(route.dependant)))  # without duplicates, in order
    filtered = route.path == FILTERED
    unknown = [
        (name, value)
        for name, value in request.query_params.items()
        if name not in known and not (filtered and name.startswith(LABEL))
    ]
    if unknown:
        known += [f"{LABEL}NAME"] if filtered else []
        listed = [_unknown(name, value, known) for name, value in unknown[:MOST_PROBLEMS]]
        raise RequestValidationError([*listed, _further(len(unknown) - len(listed))])


def labels_of(query: Mapping[str, str]) -> dict[str, str]:
    """Return the labels to filter by, as name -> value, from the query parameters *query*."""
    labels = {
        name.removeprefix(LABEL): value for name, value in query.items() if name.startswith(LABEL)
    }
    for name in labels:
        # Not re.match: in Python, $ also matches before a newline at the end.
        if not re.fullmatch(LABEL_NAME, name):
            text = f"a label's name must match {LABEL_NAME}, got {short_repr(name)}"
            raise invalid(f"{LABEL}{name}", text, name)
    if len(labels) > MAX_LABELS:
        text = f"label must be given at most {MAX_LABELS} times, got {len(labels)}"
        raise invalid("label", text, len(labels))
    return labels


async def require_no_body(request: Request) -> None:
    """Raise an error if the request has a body, since the route would ignore it."""
    body = (await request.body()).strip()
    if body not in {b"", b"{}"}:  # some clients send an empty object with every POST
        error = {"type": RULE, "loc": ("body",), "msg": "body must be empty", "input": None}
        raise RequestValidationError([error])


def beyond(rule: str, name: str, value: int, **limit: int) -> RequestValidationError:
    """
    Return pydantic's validation error for a cursor that is beyond a limit.

    Args:
        rule: pydantic's name of the violated rule, such as ``less_than``.
        name: the name of the query parameter that has the cursor.
        value: the value of this parameter.
        limit: one keyword argument with the limit, as pydantic names it, such as ``lt=100``.
    """
    details = {"type": rule, "loc": ("query", name), "msg": "", "input": value, "ctx": limit}
    return RequestValidationError([details])


def require_once(param: str, names: Sequence[str]) -> None:
    """Raise an error if *names*, the values of the parameter *param*, contain a name twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise invalid(
                param, f"{param} must not repeat a value, got {short_repr(name)} twice", name
            )
        seen.add(name)


def _declared(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query parameters that a route and its dependencies declare."""
    # Not read from the OpenAPI schema: making it took 1.2 s in the first request of a process.
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _declared(each)


def _further(number: int) -> dict[str, Any]:
    return {"type": MORE, "loc": ("query",), "msg": "", "input": None, "ctx": {"number": number}}


def _unknown(name: str, value: str, known: list[str]) -> dict[str, Any]:
    has = f" (known: {', '.join(known)})" if known else ""
    message = f"unknown query parameter {short_repr(name)}{did_you_mean(name, known)}{has}"
    return {"type": RULE, "loc": ("query", name), "msg": message, "input": value}
