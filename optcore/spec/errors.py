"""
Turn pydantic's errors into sentences with the field, the rule, the value and the nearest name.

    SpecError          a ValueError; every spec raises it on bad input
      .problems        one Problem per mistake, in the order of the fields: the first 20
      .more            the number of further mistakes

A request may contain a megabyte of mistakes. So messages are made only for the mistakes that are
shown, and every name and value in a message is shortened.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from optcore.packages.entry_points import broken
from optcore.spec.elsewhere.lookup import our_word

# With MAX_VALUE_LENGTH it keeps each error response below 256 KB, as docs/limits.md promises.
MOST_PROBLEMS = 20
"""Largest number of mistakes that get a message; further mistakes are only counted."""
MAX_VALUE_LENGTH = 80
"""Largest number of characters of a wrong value or name in a message."""
MAX_JSON_LENGTH = 300
"""Largest number of characters of a JSON value that a message offers for copying."""
# A model may have thousands of parameters, and difflib compares with each name.
MOST_COMPARED = 200
"""Largest number of valid names that are compared with a misspelt one."""
# Two digits more than a message has, so that `_first_digits` never needs a negative power of 10.
LONG_INT = 10 ** (MAX_VALUE_LENGTH + 2)
"""Smallest integer of which a message shows only the first digits."""
RULE = "rule"
"""Type of the errors that `reject` raises: their message is already a whole sentence."""
UNKNOWN = "unknown"
"""Type of the errors about unknown fields: ``tell`` in their context returns the message. To make
one takes 20 us, and a megabyte may have 50,000 unknown fields, of which a few get a message."""
MORE = "more"
"""Type of an error that stands for ``number`` further errors, which have no message."""
TAG = "~"
"""First character of the union tags that do not occur in the data."""


@dataclass(frozen=True)
class Problem:
    """
    One mistake in a spec.

    Attributes:
        param: path of the wrong field: ``optimizer.lr``, ``schedule.boundaries[1]``.
        message: a sentence with the name, the rule and the value given.
    """

    param: str
    message: str


class SpecError(ValueError):
    """
    A spec is not valid. The text of the error has one line per problem.

    Attributes:
        problems: the first `MOST_PROBLEMS` problems.
        more: number of further problems.
    """

    def __init__(self, problems: Sequence[Problem], more: int = 0) -> None:
        self.problems = list(problems[:MOST_PROBLEMS])
        self.more = more + len(problems) - len(self.problems)
        super().__init__("\n".join(lines([(p.param, p.message) for p in self.problems], self.more)))

    @classmethod
    def of(cls, error: ValidationError, data: object) -> SpecError:
        """Return pydantic's *error* about *data* as a `SpecError`."""
        return cls(*problems(error.errors(include_url=False), data))


def lines(told: Iterable[tuple[str, str]], more: int) -> list[str]:
    """Return a line for each (param, message) in *told*, and a line about *more* further ones."""
    found = [f"{param}: {message}" for param, message in told]
    return [*found, f"and {more} more"] if more else found


class Mistakes:
    """Collects problems; beyond *most* it only counts them and makes no messages."""

    def __init__(self, most: int = MOST_PROBLEMS) -> None:
        self._told: list[Problem] = []
        self._most, self._more = most, 0

    def add(self, param: str, message: Callable[[], str]) -> None:
        """Add a problem with the field at *param*; the function *message* returns the message."""
        if len(self._told) < self._most:
            self._told.append(Problem(param, message()))
        else:
            self._more += 1

    def __bool__(self) -> bool:
        return bool(self._told)

    def tell(self) -> None:
        """Raise `SpecError` if there are any problems."""
        if self._told:
            raise SpecError(self._told, self._more)


def did_you_mean(
    given: object, known: Iterable[str], kind: str = "", *, paths: bool = False
) -> str:
    """
    Return ``"; did you mean 'x'?"`` with the valid name nearest to *given*; ``""`` if none is near.

    *given* may be a misspelt valid name, or another library's name for the same thing.

    Args:
        given: the invalid name.
        known: the valid names.
        kind: the kind of the spec with the name; the class of the spec if it has no kind.
        paths: whether the suggestion may be the path of a field in another part of a run's spec.
    """
    if not isinstance(given, str) or len(given) > MAX_VALUE_LENGTH:
        return ""  # not a typing error, and slow to compare
    names = list(islice(known, MOST_COMPARED))
    if (ours := our_word(given, names, kind, paths=paths)) is not None:
        return f"; did you mean {ours}?"
    near = difflib.get_close_matches(given, names, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def reject(path: Sequence[str | int], message: str, value: object) -> NoReturn:
    """Raise an error with *message* about the field at *path*; called inside a validator."""
    raise ValidationError.from_exception_data(
        "spec",
        [InitErrorDetails(type=PydanticCustomError(RULE, message), loc=tuple(path), input=value)],
    )


def short_repr(value: object) -> str:
    """Return *value* as short text for a message; true, false and null are written as in JSON."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        # Shortened first, since the string may be a megabyte; and again, since repr adds quotes and
        # escapes.
        return truncate(repr(value[: MAX_VALUE_LENGTH + 1]))
    if isinstance(value, int) and abs(value) >= LONG_INT:
        return truncate(_first_digits(value))
    if not isinstance(value, (Mapping, list)):
        return truncate(repr(value))
    text = repr(value) if _is_short(value) else None
    if text is not None and len(text) <= MAX_VALUE_LENGTH:
        return text
    return "an object" if isinstance(value, Mapping) else f"a list of {len(value)}"


def short_json(value: object) -> str:
    """
    Return *value* as JSON, for a message from which the user may copy it.

    If the JSON is long, or *value* cannot be written as JSON, return its `short_repr`.
    """
    try:
        text = json.dumps(value) if _is_short(value, MAX_JSON_LENGTH) else None
    except TypeError:  # a spec, from Python
        text = None
    return text if text is not None and len(text) <= MAX_JSON_LENGTH else short_repr(value)


def _is_short(value: object, limit: int = MAX_VALUE_LENGTH) -> bool:
    """Return whether the text of *value* may fit into *limit* characters; no text is made."""
    left = [value]
    while left and limit >= 0:
        here = left.pop()
        if isinstance(here, (Mapping, list)):
            parts: Iterable[object] = here.values() if isinstance(here, Mapping) else here
            # A lower bound: quotes and the names in an object are not counted. The caller measures
            # the text.
            left += islice(parts, limit + 1)
            limit -= 2 + max(0, len(here) - 1)
        else:
            limit -= len(here) if isinstance(here, str) else 1
            if isinstance(here, int) and abs(here) >= LONG_INT:
                return False
    return not left and limit >= 0


def _first_digits(number: int) -> str:
    """Return the first digits of *number*, which may be too long for Python to convert to text."""
    digits = int(number.bit_length() * math.log10(2))  # perhaps one too many
    sign = "-" if number < 0 else ""
    return f"{sign}{abs(number) // 10 ** (digits - MAX_VALUE_LENGTH - 2)}"


def truncate(text: str, most: int = MAX_VALUE_LENGTH) -> str:
    """Return *text*, or its beginning and ``...`` if it is longer than *most* characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def problems(errors: Iterable[ErrorDetails], data: object) -> tuple[list[Problem], int]:
    """
    Return at most 20 of pydantic's *errors* about *data* as problems, and how many more there are.

    Args:
        errors: the errors that `ValidationError.errors()` returns.
        data: the input, which shows whether a part of an error's location is the name of a field
            or a union tag.
    """
    told, more = first_of(errors)
    return [_problem(error, data) for error in told], more


def first_of(
    errors: Iterable[ErrorDetails], most: int = MOST_PROBLEMS
) -> tuple[list[ErrorDetails], int]:
    """Return the first *most* of pydantic's *errors*, and how many more there are."""
    told, more = list[ErrorDetails](), 0
    for error in errors:
        if error["type"] == "default_factory_not_called":
            continue  # an earlier field is wrong, and has an error of its own
        # Counted one level below: this runs at each level of a spec, and once more at the end.
        if error["type"] == MORE:
            more += error["ctx"]["number"]
        elif len(told) < most:
            told.append(error)
        else:
            more += 1
    return told, more


def _problem(error: ErrorDetails, data: object) -> Problem:
    path = _without_tags(error["loc"], data)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        # pydantic's location is that of the union; the client wrote the tag in the field `kind`.
        path = [*path, "kind"]
    field = max((i for i, part in enumerate(path) if isinstance(part, str)), default=0)
    return Problem(dotted(path), _sentence(error, dotted(path[field:]) or "the spec"))


def dotted(path: Sequence[str | int]) -> str:
    """Return ``a.b[1].c`` for ``("a", "b", 1, "c")``."""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else truncate(part)
        text += f".{name}" if text and not isinstance(part, int) else name
    return text


def _without_tags(loc: Sequence[str | int], data: object) -> list[str | int]:
    """Return *loc* without pydantic's union tags, such as ``adam`` in ``optimizer.adam.lr``."""
    path: list[str | int] = []
    here = data
    entered = True
    for part, after in zip(loc, [*loc[1:], 0], strict=False):
        if str(part).startswith(TAG):
            continue
        # In a union discriminated by kind, the first part below an object is its kind. A field
        # named like the kind (the values of values) is the last part, or a list.
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
    if kind == UNKNOWN:
        return str(ctx["tell"]())
    if kind in ("union_tag_invalid", "literal_error", "enum"):
        return _not_among(name, kind, value, ctx)
    template = _TEMPLATES.get(kind)
    if template is None:
        return f"{name}: {error['msg']}, got {short_repr(value)}"
    if kind == "greater_than" and ctx["gt"] == 0:
        template = "{name} must be positive, got {value}"
    numbers = {key: _plain(number) for key, number in ctx.items()}
    # pydantic stops counting the entries of an object where there are too many.
    if kind == "too_long" and isinstance(value, Mapping):
        numbers["actual_length"] = len(value)
    return template.format(**{"name": name, "value": short_repr(value), **numbers})


def _not_among(name: str, kind: str, value: object, ctx: Mapping[str, Any]) -> str:
    if kind == "union_tag_invalid":
        # pydantic has the choices only as text: 'a', 'b' or 'c'.
        names = [part.strip(" '").removeprefix(TAG) for part in ctx["expected_tags"].split(",")]
        given, end = ctx["tag"].removeprefix(TAG), broken()
    else:
        names = [part.strip("'") for part in ctx["expected"].replace(" or ", ", ").split(", ")]
        names = [{"True": "true", "False": "false"}.get(name, name) for name in names]
        given, end = value, ""
    # An unknown kind may be the name of a field elsewhere, such as ema; an unknown value may not.
    near = did_you_mean(given, names, paths=kind == "union_tag_invalid")
    rule = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    return f"{name} must be {rule}, got {short_repr(given)}{near}{end}"


def _plain(number: object) -> object:
    """Return *number* as it is written in a message: a whole float such as 1.0 becomes 1."""
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
    # The *_parsing errors are those of query parameters and settings: strict specs parse no text.
    "float_parsing": "{name} must be a number, got {value}",
    "int_type": "{name} must be a whole number, got {value}",
    "int_parsing": "{name} must be a whole number, got {value}",
    "int_parsing_size": "{name} must be a whole number with fewer digits, got {value}",
    "int_from_float": "{name} must be a whole number, got {value}",
    "bool_type": "{name} must be true or false, got {value}",
    "bool_parsing": "{name} must be true or false, got {value}",
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
