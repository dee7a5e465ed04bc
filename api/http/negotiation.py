"""Content negotiation: the Accept header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from store.errors import NotAcceptable

Form = TypeVar("Form")


def preferred(accept: str, media_types: Mapping[Form, str]) -> Form:
    """
    Return the format that an Accept header prefers.

    If the header gives several formats the highest weight, return the first of them in
    *media_types*.

    Args:
        accept: the value of the header; an empty value accepts every format.
        media_types: available format -> its media type.

    Raises:
        NotAcceptable: the header accepts none of the formats.
    """
    weights = {
        form: _weight_of(accept.strip() or "*/*", media_type)
        for form, media_type in media_types.items()
    }
    best = max(weights, key=lambda form: weights[form])
    if not weights[best] > 0:  # q=0 means not acceptable, however well it matches
        raise NotAcceptable(accept, media_types.values())
    return best


def _weight_of(accept: str, media_type: str) -> float:
    """Return the weight that the most specific matching range in *accept* gives *media_type*."""
    # RFC 9110, section 12.5.1: the most specific range counts, at whatever position in the header.
    ranges = ["*/*", media_type.partition("/")[0] + "/*", media_type]
    specificity, weight = -1, 0.0
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in ranges and ranges.index(kind) > specificity:
            specificity, weight = ranges.index(kind), _weight(parameters)
    return weight


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0  # NaN gives 0.0, too
    return 1.0
