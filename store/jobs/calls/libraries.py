"""Which libraries of functions on the server nobody uses any more."""

from __future__ import annotations

from collections.abc import Sequence

from store.jobs.calls.replies import texts
from store.redis.functions import Call


def unused_libraries(names: Sequence[str], *, max_age_ms: int) -> Call[list[str]]:
    """Return those of the libraries of these *names* that nobody has used for *max_age_ms*."""
    return Call("unused_libraries", [max_age_ms, *names], texts)


def forget_library(name: str) -> Call[None]:
    """Say that a library is no longer loaded."""
    return Call("forget_library", [name], lambda reply: None)
