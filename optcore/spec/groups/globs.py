"""Names of parameters, and globs that match them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from optcore.spec.errors import RULE, short_repr
from optcore.spec.limits import MAX_NAME, MAX_WILDCARDS, are_lifted

WILDCARDS = "*?["
"""Characters that make a name a glob."""
MOST_LISTED = 12
"""Largest number of names that a message lists."""


def _has_few_wildcards(glob: str) -> str:
    few = sum(glob.count(wildcard) for wildcard in WILDCARDS) <= MAX_WILDCARDS
    if not few and not are_lifted():
        text = (
            f"a glob must have at most {MAX_WILDCARDS} wildcards ({' '.join(WILDCARDS)}), "
            f"got {short_repr(glob)}"
        )
        raise PydanticCustomError(RULE, text)
    return glob


Name = Annotated[str, Field(max_length=MAX_NAME)]
"""The name of a parameter."""
Glob = Annotated[Name, AfterValidator(_has_few_wildcards)]
"""The name of a parameter, or a pattern that matches names: ``"*.bias"``."""


class Globs:
    """
    Several compiled globs; ``name in globs`` is true if one of them matches.

    `fnmatch.fnmatch` is not used, since it would keep the last 32,768 globs of all clients in
    memory.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        several = list(dict.fromkeys(globs))
        # Names without wildcards are looked up, so that a thousand of them need no regular
        # expression.
        self._names = {glob for glob in several if not any(mark in glob for mark in WILDCARDS)}
        others = [translate(glob) for glob in several if glob not in self._names]
        # One expression for all of them: each call of `match` takes as long as a comparison.
        self._fits = re.compile("|".join(others)).match if others else None

    def __contains__(self, name: str) -> bool:
        return name in self._names or (self._fits is not None and self._fits(name) is not None)


def listed(names: Sequence[str], most: int = MOST_LISTED) -> str:
    """Return the first *most* of *names* as text; if there are more, with their total number."""
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text}, ... {len(names)} in all"
