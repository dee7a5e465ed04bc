"""
Request bodies that are specs. Large ones are validated in a thread.

FastAPI would validate every body on the event loop. A `SpecBodyRoute` validates the body before
FastAPI does, and gives FastAPI the result: the spec, or the errors in the body. FastAPI reports
these errors together with those in parameters and headers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from api.http.thread_pool import BODY, threads_of
from api.http.validated_body import ValidatedBody

T = TypeVar("T")


def _result(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, ValidatedBody):
        return handler(value)
    if value.error is not None:
        # If a validator raises a ValidationError, pydantic adopts the errors in it, with their
        # paths.
        raise value.error
    return value.spec


SpecBody = Annotated[T, WrapValidator(_result)]
"""The type of a body parameter in a `SpecBodyRoute`."""


class _Request(Request):
    """A request that validates its body when FastAPI reads the body."""

    adapter: TypeAdapter[Any]

    async def json(self) -> ValidatedBody:
        """
        Return the validated body.

        The parsed JSON is removed from the ASGI scope, which would keep it in memory.
        """
        threads, data = threads_of(self.scope), self.scope.pop(BODY, None)
        return await threads.run(threads.size, _validated, self.adapter, data)


def _validated(adapter: TypeAdapter[Any], data: object) -> ValidatedBody:
    try:
        return ValidatedBody(data, adapter.validate_python(data))
    except ValidationError as error:
        return ValidatedBody(data, error=error)


class SpecBodyRoute(APIRoute):
    """A route that validates its body before FastAPI does, in a thread if the body is large."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route; it validates the body before FastAPI does."""
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
