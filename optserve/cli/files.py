"""Reads files that contain jobs or schedules, as strictly as the service parses requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optcore.spec.errors import short_json
from optserve.contract import strict_json


class BadFile(Exception):
    """A file cannot be read, or does not contain what it should; the message says which."""


def read_object(path: Path, what: str = "a job") -> dict[str, Any]:
    """
    Return the JSON object in the file *path*, without filling in defaults.

    Args:
        path: the file; ``-`` is standard input.
        what: what the file must hold, such as "a job", for error messages.

    Raises:
        BadFile: the file cannot be read, or does not contain a JSON object.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        text = _read(path)
    except OSError as error:
        raise BadFile(f"{name} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name with a null byte
        raise BadFile(f"{name!r} cannot be read: {error}") from None
    return parse_object(text, name, what)


def parse_object(text: bytes, name: str, what: str) -> dict[str, Any]:
    """
    Return the JSON object that *text* contains.

    Args:
        text: a JSON document.
        name: where the text comes from, such as "job.json", for error messages.
        what: what the text must hold, such as "a job", for error messages.

    Raises:
        BadFile: *text* is not a JSON object.
    """
    try:
        found = strict_json.parse(text)
    except strict_json.NotStrict as error:
        raise BadFile(f"{name} must hold {what} as JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadFile(f"{name} must hold {what} as a JSON object, got {short_json(found)}")
    return found


def _read(path: Path) -> bytes:
    if str(path) == "-":
        with open(0, "rb", closefd=False) as stdin:  # sys.stdin would decode, and may be None
            return stdin.read()
    return path.read_bytes()
