"""The form of the tables: our word, a colon, and the names that stand for it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    """
    Our word for a name.

    Attributes:
        word: a kind, a field, a value, or the path of a field in the spec of a run.
        note: what else belongs to it: `` with a warmup``; empty if nothing does.
    """

    word: str
    note: str = ""

    @property
    def is_path(self) -> bool:
        """Whether the word stands elsewhere in the spec of a run."""
        return "." in self.word

    def __str__(self) -> str:
        return f"{self.word if self.is_path else repr(self.word)}{self.note}"


Answers = tuple[Answer, ...]
"""Possible answers: the first that is valid where the name was given is the right one."""


def table(text: str) -> Mapping[str, Answers]:
    """Return name -> answers, from lines ``word note: name name ...``; lines may be continued."""
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
    """Return *name* without its module, capitals, hyphens and underscores."""
    return name.rpartition(".")[2].lower().replace("_", "").replace("-", "").replace(" ", "")
