"""Strict JSON, as the service and the command parse it: unambiguous, finite, limited in size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import compress
from typing import Any

MAX_DEPTH = 32
"""Maximum depth of nested objects and lists; a job needs seven."""
MAX_PARTS = 10_000
"""Maximum number of objects and lists; the largest accepted job has a third as many."""


CONTAINERS = frozenset({dict, list})
"""Types of the values that hold others."""


class NotStrict(ValueError):
    """The text is not JSON, is ambiguous, or exceeds a limit; the message says which."""


def parse(text: bytes) -> Any:  # noqa: ANN401  whatever the text holds
    """
    Return the value that *text*, a JSON document, describes.

    Raises:
        NotStrict: *text* is not JSON in UTF-8, or breaks one of these rules. An object must not
            repeat a name. Objects and lists must nest at most 32 deep, and there must be at most
            10,000 of them. Numbers must be finite. Strings must not contain half of a surrogate
            pair.
    """
    try:
        value = json.loads(
            # json.loads would take bytes in UTF-16 and UTF-32, too.
            text.decode(),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise NotStrict(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotStrict(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    # json itself is recursive: very deep texts end here, all others in `_check_parts`.
    except RecursionError:
        raise _too_deep() from None
    except NotStrict:
        raise
    except ValueError as error:  # an integer with more digits than Python converts
        raise NotStrict(str(error).split(";")[0]) from None  # without Python's advice on its limit
    _check_parts(value)
    # Only escapes can bring a surrogate in: UTF-8 cannot encode one. Most texts skip the check.
    if b"\\ud" in text.lower():
        _check_pairs(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # RFC 8259, section 4: parsers differ in which value of a repeated name they take.
    if len(found) != len(pairs):
        raise NotStrict(f"names must be unique in an object, got {_repeated(pairs)[:80]!r} twice")
    return found


def _repeated(pairs: list[tuple[str, Any]]) -> str:
    """Return the first name in *pairs* that comes twice."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def _finite(text: str) -> float:
    # No error: 1e999 is inf to Python.
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
            raise NotStrict(
                f"the JSON must have at most {MAX_PARTS} objects and lists in total, got more"
            )
        level = [child for parent in level for child in _containers(parent)]
        if not level:
            return
    raise _too_deep()


def _containers(parent: dict[str, Any] | list[Any]) -> Iterator[Any]:
    """Yield the objects and lists in *parent*."""
    values = parent.values() if isinstance(parent, dict) else parent
    # In C, as a list may have half a million numbers: a loop over them takes 40 ms.
    return compress(values, map(CONTAINERS.__contains__, map(type, values)))


def _check_pairs(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotStrict("strings must be Unicode, got half of a surrogate pair") from None


def _too_deep() -> NotStrict:
    return NotStrict(f"objects and lists must nest at most {MAX_DEPTH} deep")
