"""Which of the forms that an answer may have a client likes most, by its Accept header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from store.errors import NotAcceptable

Form = TypeVar("Form")


def preferred(accept: str, media_types: Mapping[Form, str]) -> Form:
    """
    Return the form that an Accept header likes most; of equal ones the first.

    Args:
        accept: the header; an empty one likes all.
        media_types: of the forms there are.

    Raises:
        NotAcceptable: it likes none of them.
    """
    liked = {
        form: _liked(accept.strip() or "*/*", media_type)
        for form, media_type in media_types.items()
    }
    best = max(liked, key=lambda form: liked[form])
    if not liked[best] > 0:
        raise NotAcceptable(accept, media_types.values())
    return best


def _liked(accept: str, media_type: str) -> float:
    """Return the weight of a media type, which is that of the narrowest range it is in."""
    ranges = ["*/*", media_type.partition("/")[0] + "/*", media_type]
    narrowest, weight = -1, 0.0
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in ranges and ranges.index(kind) > narrowest:
            narrowest, weight = ranges.index(kind), _weight(parameters)
    return weight


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0  # and not NaN
    return 1.0
