"""Errors, in the form of RFC 9457."""

from __future__ import annotations

from pydantic import Field

from optserve.contract.answers.base import WireModel


class InvalidParam(WireModel):
    """One thing that is wrong with a request."""

    param: str
    """Where: a dotted path into the body, or the name of a parameter."""
    message: str
    """The name, the rule and the value given."""


class Problem(WireModel):
    """An error, in the form of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """For programs: an identifier that does not change."""
    errors: list[InvalidParam] = Field(default_factory=list)
    """What is wrong with the request: the first 20 errors."""
    more_errors: int = 0
    """How many further errors there are."""
