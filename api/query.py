"""Query parameters: one that a route does not know is an error, never ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.problems import invalid
from optcore.spec.errors import RULE, did_you_mean, shown

LABEL = "label."
"""Prefix of the query parameters that filter by label."""
FILTERED = "/v1/jobs"
"""The route that takes them."""


async def only_known(request: Request) -> None:
    """Raise unless every query parameter is one that the route declares."""
    route: APIRoute = request.scope["route"]
    known = list(dict.fromkeys(_declared(route.dependant)))
    mistakes = [
        _unknown(name, value, known)
        for name, value in request.query_params.items()
        if name not in known and not (route.path == FILTERED and name.startswith(LABEL))
    ]
    if mistakes:
        raise RequestValidationError(mistakes)


def beyond(rule: str, name: str, value: int, **limit: int) -> RequestValidationError:
    """Return the error of a cursor that points to where nothing can be, as pydantic says it."""
    details = {"type": rule, "loc": ("query", name), "msg": "", "input": value, "ctx": limit}
    return RequestValidationError([details])


def require_once(param: str, names: Sequence[str]) -> None:
    """Raise unless each of *names*, which a parameter holds, is another one."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise invalid(param, f"{param} must be named once, got {shown(name)} twice", name)


def _declared(dependant: Dependant) -> Iterator[str]:
    """Yield the query parameters of a route and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _declared(each)


def _unknown(name: str, value: str, known: list[str]) -> dict[str, Any]:
    has = f" ({', '.join(known)})" if known else ""
    message = f"unknown query parameter {name[:80]!r}{did_you_mean(name, known)}{has}"
    return {"type": RULE, "loc": ("query", name), "msg": message, "input": value}
