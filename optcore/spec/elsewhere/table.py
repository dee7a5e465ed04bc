"""Parse tables whose lines have our name for something, a colon, and the names elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    """
    Our name for something that has another name in another library.

    Attributes:
        word: a kind, a field, a value, or the path of a field in the spec of a run.
        note: what *word* needs in order to be equivalent, as text to append to *word* in a
            message: `` with a warmup``. Empty if *word* needs nothing.
    """

    word: str
    note: str = ""

    @property
    def is_path(self) -> bool:
        """Whether *word* is the path of a field in the spec of a run."""
        return "." in self.word

    def __str__(self) -> str:
        return f"{self.word if self.is_path else repr(self.word)}{self.note}"


Answers = tuple[Answer, ...]
"""Possible names, in order of preference: the first that is valid in its place is suggested."""


def table(text: str) -> Mapping[str, Answers]:
    """
    Parse *text* into a mapping: simplified name in another library -> our names for it.

    An entry of *text* is ``our_name: name name ...``. The words between our name and the colon, if
    there are any, are the `Answer.note`. A line without a colon continues the entry before it.
    """
    found: dict[str, Answers] = {}
    word = note = ""
    for line in text.strip().splitlines():
        head, colon, names = line.rpartition(":")
        if colon:
            word, _, note = head.strip().partition(" ")
        answer = Answer(word, f" {note}" if note else "")
        for name in names.split():
            key = simplified(name)
            if answer not in found.get(key, ()):
                found[key] = (*found.get(key, ()), answer)
    return found


def simplified(name: str) -> str:
    """Return *name* in lower case, without its module, hyphens, underscores and spaces."""
    return name.rpartition(".")[2].lower().replace("_", "").replace("-", "").replace(" ", "")
