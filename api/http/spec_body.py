"""
Bodies that are specs: validated in a thread where they are large.

FastAPI would validate them on the event loop. A `SpecBodyRoute` validates before FastAPI does, and
hands it the result: the spec, or its errors, which FastAPI then reports together with those of
parameters and headers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from api.http.thread_pool import BODY, threads_of

T = TypeVar("T")


@dataclass(frozen=True)
class ValidatedBody:
    """
    A body that is validated already.

    Attributes:
        data: the parsed JSON.
        spec: the spec, if it is valid.
        error: its errors, if it is not.
    """

    data: object
    spec: object = None
    error: ValidationError | None = None


def _result(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, ValidatedBody):
        return handler(value)
    if value.error is not None:
        # pydantic takes over the errors of a ValidationError raised in a validator, with their
        # paths.
        raise value.error
    return value.spec


SpecBody = Annotated[T, WrapValidator(_result)]
"""A body of a `SpecBodyRoute`."""


class _Request(Request):
    """A request that validates its body when FastAPI asks for it."""

    adapter: TypeAdapter[Any]

    async def json(self) -> ValidatedBody:
        """Return the validated body; it can be taken once, since the scope would keep it alive."""
        threads, data = threads_of(self.scope), self.scope.pop(BODY, None)
        return await threads.run(threads.size, _validated, self.adapter, data)


def _validated(adapter: TypeAdapter[Any], data: object) -> ValidatedBody:
    try:
        return ValidatedBody(data, adapter.validate_python(data))
    except ValidationError as error:
        return ValidatedBody(data, error=error)


class SpecBodyRoute(APIRoute):
    """A route whose body, if it has one, is validated off the event loop."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, around which the body is validated."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        model = self.body_field.field_info.annotation
        assert model is not None
        adapter: TypeAdapter[Any] = TypeAdapter(model)

        async def validate(request: Request) -> Response:
            validating = _Request(request.scope, request.receive)
            validating.adapter = adapter
            return await handle(validating)

        return validate
