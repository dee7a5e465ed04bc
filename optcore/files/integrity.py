"""Finds damaged files: what is read has another SHA-256 than what was written."""

from __future__ import annotations


class Damaged(Exception):
    """The content of a file is not what was written: its SHA-256 differs."""


def require_sha256(name: str, sha256: str, found: str) -> None:
    """Raise `Damaged` if the file *name*, written with *sha256*, was *found* with another one."""
    if found != sha256:
        raise Damaged(f"{name.rpartition('/')[2]} must have SHA-256 {sha256}, got {found}")
