"""The base class of all response models, and the model of a page of a list."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class WireModel(BaseModel):
    """
    Base class of response models.

    JSON has no NaN and no infinities: they are sent as strings, "NaN", "Infinity" or "-Infinity".
    """

    # JSON has no NaN; null would mean that there is no value, and a diverged loss is a value.
    model_config = ConfigDict(
        ser_json_inf_nan="strings", use_attribute_docstrings=True, validate_by_name=True
    )


def renamed(former: str, default: object = ...) -> Any:  # noqa: ANN401  as pydantic's Field
    """
    Return a renamed field of a model; clients also accept the name of the field in release 0.2.0.

    During an upgrade, API processes of both releases serve requests, so clients must read both
    names. Responses of this release contain only the new name.

    Args:
        former: name of the field in release 0.2.0.
        default: default value of the field; without it, the field is required.
    """
    return Field(default, validation_alias=former)


class Page(WireModel, Generic[Item]):
    """One page of a list, in the format of OpenAI's API; it may have fewer items than `limit`."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    """Whether there were more items after this page when the response was made."""
    next: str | int | None
    """Cursor for the next page: pass it as `after`."""
