"""
Bodies that are specs: validated before FastAPI would, in a thread where they are not small.

FastAPI validates on the event loop. A route of this kind hands it what was found already: the spec,
or what is wrong with it, which FastAPI then tells with whatever else is wrong with the request.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from api.http.thread_pool import BODY, work_of

T = TypeVar("T")


@dataclass(frozen=True)
class Checked:
    """
    A body that was validated.

    Attributes:
        data: what its text says.
        spec: what it is.
        error: or why it is none.
    """

    data: object
    spec: object = None
    error: ValidationError | None = None


def _found(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, Checked):
        return handler(value)
    if value.error is not None:
        raise value.error
    return value.spec


Posted = Annotated[T, WrapValidator(_found)]
"""A body of a `PostedRoute`."""


class _Request(Request):
    """A request whose body is validated when FastAPI asks for it."""

    adapter: TypeAdapter[Any]

    async def json(self) -> Checked:
        """Return the body, which is asked for once."""
        work, data = work_of(self.scope), self.scope.pop(BODY, None)
        return await work.do(work.size, _checked, self.adapter, data)


def _checked(adapter: TypeAdapter[Any], data: object) -> Checked:
    try:
        return Checked(data, adapter.validate_python(data))
    except ValidationError as error:
        return Checked(data, error=error)


class PostedRoute(APIRoute):
    """A route whose body, if it has one, is validated off the event loop."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers requests."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        model = self.body_field.field_info.annotation
        assert model is not None
        adapter: TypeAdapter[Any] = TypeAdapter(model)

        async def checking(request: Request) -> Response:
            checked = _Request(request.scope, request.receive)
            checked.adapter = adapter
            return await handle(checked)

        return checking
