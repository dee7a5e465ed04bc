"""Job files, read as strictly as the service reads requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.spec import strict_json


class BadFile(Exception):
    """The file cannot be read, or is no job; the text says why."""


def read_job(path: Path) -> dict[str, Any]:
    """
    Return the job in *path*, as it was written; ``-`` is standard input.

    Raises:
        BadFile: it cannot be read, or holds no JSON object.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        text = _read(path)
    except OSError as error:
        raise BadFile(f"{name} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name that no file can have
        raise BadFile(f"{name!r} cannot be read: {error}") from None
    try:
        spec = strict_json.parse(text)
    except strict_json.NotStrict as error:
        raise BadFile(f"{name} must hold a job as JSON: {error}") from None
    if not isinstance(spec, dict):
        raise BadFile(f"{name} must hold a job as a JSON object")
    return spec


def _read(path: Path) -> bytes:
    if str(path) == "-":
        with open(0, "rb", closefd=False) as stdin:  # sys.stdin may be closed, and decodes
            return stdin.read()
    return path.read_bytes()
