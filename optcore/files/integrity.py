"""Finds damaged files: their content has another SHA-256 than the content when written."""

from __future__ import annotations


class Damaged(Exception):
    """The content of a file is not what was written: its SHA-256 differs."""


def require_sha256(name: str, written: str, actual: str) -> None:
    """
    Raise `Damaged` if a file does not have the SHA-256 of what was written to it.

    Args:
        name: the path of the file.
        written: the SHA-256 of the content that was written.
        actual: the SHA-256 of the content that was read.
    """
    if actual != written:
        raise Damaged(f"{name.rpartition('/')[2]} must have SHA-256 {written}, got {actual}")
