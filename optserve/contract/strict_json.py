"""JSON without traps: one finite, unambiguous text, as the service and the command read it."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 32
"""Objects and lists within one another; a job needs seven."""
MAX_PARTS = 10_000
"""Objects and lists in all; the largest job that is accepted has a third of them."""


class NotStrict(ValueError):
    """The text is no JSON, or could be read in two ways; the message says why."""


def parse(text: bytes) -> Any:  # noqa: ANN401  whatever the text holds
    """
    Return what *text* says.

    Raises:
        NotStrict: it is no JSON or no UTF-8, has a name twice in an object, holds NaN, infinities
            or numbers that become them, or half of a character, nests deeper than 32, or has more
            than 10,000 objects and lists.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise NotStrict(f"it is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotStrict(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _too_deep() from None
    except NotStrict:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise NotStrict(str(error).split(";")[0]) from None
    _check_parts(value)
    if b"\\ud" in text.lower():
        _check_pairs(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NotStrict(f"the name {name[:80]!r} must be used once in an object, got it twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrict(f"numbers must be finite, got {text[:80]}")
    return number


def _no_constant(text: str) -> float:
    raise NotStrict(f"numbers must be finite, got {text}")


def _check_parts(value: object) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    parts = 0
    for _ in range(MAX_DEPTH):
        parts += len(level)
        if parts > MAX_PARTS:
            raise NotStrict(f"objects and lists must be at most {MAX_PARTS} in all, got more")
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _too_deep()


def _check_pairs(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotStrict("strings must be Unicode, got half of a surrogate pair") from None


def _too_deep() -> NotStrict:
    return NotStrict(f"objects and lists must nest at most {MAX_DEPTH} deep")
