"""Libraries of functions on the server: the version of this one, and which are no longer used."""

from __future__ import annotations

from collections.abc import Sequence

from store.jobs.calls.replies import text, texts
from store.redis.functions import Call


def version() -> Call[str]:
    """Return the version of the functions that the server has."""
    return Call("version", [], text, reads_only=True)


def unused_libraries(names: Sequence[str], *, max_age_ms: int) -> Call[list[str]]:
    """Return those of *names* that no process has used for *max_age_ms*."""
    return Call("unused_libraries", [max_age_ms, *names], texts)


def forget_library(name: str) -> Call[None]:
    """Say that a library is no longer loaded."""
    return Call("forget_library", [name], lambda reply: None)
