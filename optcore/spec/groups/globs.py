"""Names of parameters, and globs that match them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from optcore.spec.errors import RULE, short_repr
from optcore.spec.limits import MAX_NAME, MAX_WILDCARDS, are_lifted

WILDCARDS = "*?["
"""Characters that make a name a glob."""
MOST_LISTED = 12
"""Largest number of names that a message lists."""
BOTH_SIDES = 2
"""Number of texts beside one star."""


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
    Several globs; ``name in globs`` is true if one of them matches, as `fnmatch.fnmatchcase` does.

    A client may send a thousand globs for a network of thousands of parameters. So names without
    wildcards are looked up, beginnings and ends of names are found by one call for all globs, and
    other globs first look for their longest text. A regular expression is made only for ``?`` and
    ``[``: to compile one takes as long as to compare 300 names, and then it takes up to 15 times as
    long as a search for a text. (`fnmatch` would also keep the last 32,768 globs of all clients in
    memory.)
    """

    def __init__(self, globs: Iterable[str]) -> None:
        several = list(dict.fromkeys(globs))
        parts = {glob: glob.split("*") for glob in several if not any(c in glob for c in "?[")}
        self._names = {glob for glob, each in parts.items() if len(each) == 1}
        ends = [each for each in parts.values() if len(each) == BOTH_SIDES and "" in each]
        self._starts = tuple(start for start, end in ends if not end)
        self._ends = tuple(end for start, end in ends if end)
        known = self._names | {"*".join(each) for each in ends}
        self._others = [_Pattern(glob) for glob in several if glob not in known]

    def __contains__(self, name: str) -> bool:
        return (
            name in self._names
            or name.startswith(self._starts)
            or name.endswith(self._ends)
            or any(each.fits(name) for each in self._others)
        )

    def among(self, names: Mapping[str, object]) -> set[str]:
        """Return the keys of *names* that are in these globs, faster than by a loop over them."""
        found = {name for name in self._names if name in names}
        if self._starts:
            found.update([name for name in names if name.startswith(self._starts)])
        if self._ends:
            found.update([name for name in names if name.endswith(self._ends)])
        for each in self._others:
            found.update(each.among(names))
        return found


class _Pattern:
    """A glob with wildcards that are not only one ``*`` at its beginning or end."""

    def __init__(self, glob: str) -> None:
        self._glob, self._parts = glob, glob.split("*")
        # A bracket may be the beginning of a set of characters, so that what follows is no text.
        self._text = max(glob.partition("[")[0].replace("?", "*").split("*"), key=len)
        self._is_text_alone = glob == f"*{self._text}*"

    def among(self, names: Iterable[str]) -> list[str]:
        """Return the *names* that match."""
        text = self._text
        found = [name for name in names if text in name]
        return found if self._is_text_alone else list(filter(self._matches, found))

    def fits(self, name: str) -> bool:
        """Return whether *name* matches."""
        return self._text in name and (self._is_text_alone or bool(self._matches(name)))

    @cached_property
    def _matches(self) -> Callable[[str], object]:
        if any(wildcard in self._glob for wildcard in "?["):
            return re.compile(translate(self._glob)).match
        return self._has_parts

    def _has_parts(self, name: str) -> bool:
        """Return whether the texts between the stars are in *name*, one after another."""
        start, *middle, end = self._parts
        if not (name.startswith(start) and name.endswith(end)):
            return False
        here, stop = len(start), len(name) - len(end)
        # The first place of each is right: it leaves the most for the next.
        for part in middle:
            here = name.find(part, here, stop)
            if here < 0:
                return False
            here += len(part)
        return here <= stop


def comparison(glob: str) -> int:
    """
    Return how long it takes to compare *glob* with a name; the unit is a simple glob's time.

    0 without wildcards, 1 if there are only stars at the beginning or end, otherwise 2 for each
    wildcard, and at least 10 with ``?`` or ``[``.
    """
    number = sum(glob.count(wildcard) for wildcard in WILDCARDS)
    if glob.count("*") < number:
        return max(10, 2 * number)
    return 2 * number if "*" in glob.strip("*") else min(number, 1)


def listed(names: Sequence[str], most: int = MOST_LISTED) -> str:
    """Return the first *most* of *names* as text; if there are more, with their total number."""
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text}, ... {len(names)} in all"
