"""What `SpecBodyRoute` gives FastAPI for a body, and error responses read again."""

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
