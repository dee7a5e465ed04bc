"""Error responses, in the format of RFC 9457 (problem details for HTTP)."""

from __future__ import annotations

from pydantic import Field

from optserve.contract.answers.base import WireModel


class InvalidParam(WireModel):
    """One error in a request."""

    param: str
    """Location of the error: a dotted path into the body, or the name of a parameter."""
    message: str
    """A sentence with the name, the rule, and the value that was given."""


class Problem(WireModel):
    """An error response, in the format of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """Identifier of the kind of error, for programs; it does not change."""
    errors: list[InvalidParam] = Field(default_factory=list)
    """The first 20 errors in the request."""
    more_errors: int = 0
    """Number of further errors in the request."""
