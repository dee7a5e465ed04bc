"""
Turn what pydantic found wrong into sentences: field, rule, value, nearest right name.

    SpecError          a ValueError; what every spec raises on bad input
      .problems        one Problem per mistake, in the order of the fields
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

MAX_VALUE_LENGTH = 80
"""Characters of a wrong value that a message repeats; the rest is cut."""

ELSEWHERE = {
    "alpha": "rho",
    "betas": "beta1",
    "decay": "weight_decay",
    "learning_rate": "lr",
    "mu": "momentum",
}
"""What other libraries call a field of ours, where the two names are not alike."""

RULE = "rule"
"""Type of the errors that `violated` makes: their message is a whole sentence already."""

TAG = "~"
"""First character of the union tags that are no field of the data."""


@dataclass(frozen=True)
class Problem:
    """
    One mistake in a spec.

    Attributes:
        param: where it is, as a dotted path: ``optimizer.lr``, ``schedule.boundaries[1]``.
        message: a sentence with the name, the rule and the value given.
    """

    param: str
    message: str


class SpecError(ValueError):
    """A spec that cannot be accepted; its text is one line per problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(f"{p.param}: {p.message}" for p in self.problems))


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the name nearest to *given*, or an empty string."""
    names = list(known)
    ours = ELSEWHERE.get(str(given))
    near = (
        [ours]
        if ours is not None and ours in names
        else difflib.get_close_matches(str(given), names, 1, 0.6)
    )
    return f"; did you mean {near[0]!r}?" if near else ""


def violated(path: Sequence[str | int], message: str, value: object) -> NoReturn:
    """Raise, from inside a validator, that the field at *path* breaks a rule of its own."""
    raise ValidationError.from_exception_data(
        "spec",
        [InitErrorDetails(type=PydanticCustomError(RULE, message), loc=tuple(path), input=value)],
    )


def shown(value: object) -> str:
    """Return *value* as a message shows it: like JSON, and never long."""
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, (Mapping, list)) and len(str(value)) > MAX_VALUE_LENGTH:
        text = "an object" if isinstance(value, Mapping) else f"a list of {len(value)}"
    else:
        text = repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 3] + "..."


def problems(errors: Iterable[ErrorDetails], data: object) -> list[Problem]:
    """
    Return pydantic's *errors* about *data* as sentences.

    Args:
        errors: as `ValidationError.errors()` gives them.
        data: what was validated; tells union tags in a location from field names.
    """
    found = []
    for error in errors:
        # Only says that an earlier field, reported itself, was wrong.
        if error["type"] == "default_factory_not_called":
            continue
        path = _without_tags(error["loc"], data)
        if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = [*path, "kind"]
        found.append(Problem(dotted(path), _sentence(error, str(path[-1]) if path else "the spec")))
    return found


def dotted(path: Sequence[str | int]) -> str:
    """Return ``a.b[1].c`` for ``("a", "b", 1, "c")``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _without_tags(loc: Sequence[str | int], data: object) -> list[str | int]:
    """Return *loc* without the union tags pydantic puts into it (``optimizer.adam.lr``)."""
    path: list[str | int] = []
    here = data
    entered = True
    for part, after in zip(loc, [*loc[1:], 0], strict=False):
        if str(part).startswith(TAG):
            continue
        # An object told apart by its kind: the first part below it is that kind. A field of
        # the same name (the values of values) ends there, or is a list.
        field = isinstance(here, Mapping) and part in here and isinstance(after, int)
        if entered and isinstance(here, Mapping) and part == here.get("kind") and not field:
            entered = False
            continue
        path.append(part)
        entered = True
        if isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            here = None
    return path or list(loc)


def _sentence(error: ErrorDetails, name: str) -> str:
    kind, value, ctx = error["type"], error["input"], error.get("ctx", {})
    if kind == RULE:
        return error["msg"]
    if kind in ("union_tag_invalid", "literal_error", "enum"):
        return _not_among(name, kind, value, ctx)
    template = _TEMPLATES.get(kind)
    if template is None:
        return f"{name}: {error['msg']}, got {shown(value)}"
    if kind == "greater_than" and ctx["gt"] == 0:
        template = "{name} must be positive, got {value}"
    numbers = {key: _plain(number) for key, number in ctx.items()}
    return template.format(**{"name": name, "value": shown(value), **numbers})


def _not_among(name: str, kind: str, value: object, ctx: Mapping[str, Any]) -> str:
    if kind == "union_tag_invalid":
        names = [part.strip().strip("'") for part in ctx["expected_tags"].split(",")]
        given = ctx["tag"]
    else:
        names = [part.strip("'") for part in ctx["expected"].replace(" or ", ", ").split(", ")]
        given = value
    return (
        f"{name} must be one of {', '.join(names)}, got {shown(given)}{did_you_mean(given, names)}"
    )


def _plain(number: object) -> object:
    """Return 1 for 1.0: bounds are shown as a person writes them."""
    if isinstance(number, float) and math.isfinite(number) and number == int(number):
        return int(number)
    return number


_TEMPLATES = {
    "missing": "{name} is required",
    "union_tag_not_found": "kind is required",
    "greater_than": "{name} must be above {gt}, got {value}",
    "greater_than_equal": "{name} must be at least {ge}, got {value}",
    "less_than": "{name} must be below {lt}, got {value}",
    "less_than_equal": "{name} must be at most {le}, got {value}",
    "finite_number": "{name} must be a finite number, got {value}",
    "float_type": "{name} must be a number, got {value}",
    "float_parsing": "{name} must be a number, got {value}",
    "int_type": "{name} must be a whole number, got {value}",
    "int_parsing": "{name} must be a whole number, got {value}",
    "int_parsing_size": "{name} must be a whole number of a usual size, got {value}",
    "int_from_float": "{name} must be a whole number, got {value}",
    "bool_type": "{name} must be true or false, got {value}",
    "string_type": "{name} must be a string, got {value}",
    "string_too_long": "{name} must have at most {max_length} characters, got {value}",
    "string_too_short": "{name} must have at least {min_length} characters, got {value}",
    "string_pattern_mismatch": "{name} must match {pattern}, got {value}",
    "list_type": "{name} must be a list, got {value}",
    "too_short": "{name} must have at least {min_length} entries, got {actual_length}",
    "too_long": "{name} must have at most {max_length} entries, got {actual_length}",
    "dict_type": "{name} must be an object, got {value}",
    "model_type": "{name} must be an object, got {value}",
    "model_attributes_type": "{name} must be an object, got {value}",
}
