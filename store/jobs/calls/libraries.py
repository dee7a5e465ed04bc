"""Calls about the libraries of Lua functions on the server: their version and their use."""

from __future__ import annotations

from collections.abc import Sequence

from store.jobs.calls.replies import text, texts
from store.redis.functions import Call


def version() -> Call[str]:
    """
    Return the version of this release's functions.

    If the functions are not loaded, the server replies with an error.
    """
    return Call("version", [], text, reads_only=True)


def unused_libraries(names: Sequence[str], *, max_age_ms: int) -> Call[list[str]]:
    """Return those of *names* that are libraries unused for at least *max_age_ms* milliseconds."""
    return Call("unused_libraries", [max_age_ms, *names], texts)


def forget_library(name: str) -> Call[None]:
    """Record that a library is no longer loaded."""
    return Call("forget_library", [name], lambda reply: None)
