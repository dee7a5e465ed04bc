"""The validated body of a request, which `SpecBodyRoute` gives to FastAPI."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True)
class ValidatedBody:
    """
    A body that has been validated.

    Attributes:
        data: the parsed JSON.
        spec: the spec; None if the body is invalid.
        error: the errors in the body; None if the body is valid.
    """

    data: object
    spec: object = None
    error: ValidationError | None = None
