"""The base of every answer, and the shape of a list."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class WireModel(BaseModel):
    """Base of every answer: NaN and infinities are the strings "NaN", "Infinity", "-Infinity"."""

    # JSON has no NaN; null would say that there is no value, and a diverged loss is a value.
    model_config = ConfigDict(
        ser_json_inf_nan="strings", use_attribute_docstrings=True, validate_by_name=True
    )


def renamed(former: str, default: object = ...) -> Any:  # noqa: ANN401  as pydantic's Field
    """
    Return a field that release 0.2.0 calls *former*.

    While a service is upgraded, APIs of both releases answer: a client reads either name. Answers
    of this release have the new one alone.
    """
    return Field(default, validation_alias=former)


class Page(WireModel, Generic[Item]):
    """One page of a list, in OpenAI's shape; it may hold fewer items than `limit`."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    """Whether there are more items after this page right now."""
    next: str | int | None
    """Pass this as `after` to get the next page."""
