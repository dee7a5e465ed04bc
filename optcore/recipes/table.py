"""Tables of the keys that each class of a framework reads, with functions that convert them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optcore.recipes.block import Block
from optcore.spec.errors import did_you_mean

Read = Callable[[Block, str], None]
"""A function that reads a key of a block, and records what became of the key."""


@dataclass(frozen=True)
class ClassTable:
    """
    The keys that one class of a framework reads.

    Attributes:
        kind: the kind of the equivalent optimizer or schedule.
        reads: key that the class reads -> the function that converts the key.
        required: the keys that the class requires.
        swallows: whether the class accepts unknown keywords without using them. If not, an unknown
            keyword raises TypeError in the framework.
    """

    kind: str
    reads: Mapping[str, Read]
    required: tuple[str, ...] = ()
    swallows: bool = True

    def read(self, block: Block, name: str, framework: str) -> None:
        """Convert *block*, the arguments of the class *name* in *framework*, key by key."""
        for key in self.required:
            if key not in block:
                block.refused(key, f"is required for {name}", required=True)
        for key, convert in self.reads.items():
            if key in block:
                convert(block, key)
        for key in block.left():
            near = did_you_mean(key, self.reads)
            if self.swallows:
                block.ignored(key, f"{framework}'s {name} takes it and does not use it{near}")
            else:
                only = ", ".join(self.reads)
                block.refused(key, f"raises TypeError in {framework}: {name} takes {only}{near}")


def number(field: str) -> Read:
    """Return a function that takes a key's value, a number, as the value of *field*."""
    return lambda block, key: block.converted(key, field, block.number(key))


def flag(field: str) -> Read:
    """Return a function that takes a key's value, true or false, as the value of *field*."""
    return lambda block, key: block.converted(key, field, block.flag(key))


def text(field: str) -> Read:
    """Return a function that takes a key's value as the text for *field*; null becomes ''."""
    return lambda block, key: block.converted(
        key, field, block.text(key) if block.given(key) else ""
    )


def ignored(reason: str) -> Read:
    """Return a function that records, with the *reason*, that a key has no effect."""
    return lambda block, key: block.ignored(key, reason)


def only(value: object, reason: str) -> Read:
    """
    Return a function that refuses a key, with *reason*, unless its value is the default *value*.

    A key with the default is recorded as ignored.
    """

    def read(block: Block, key: str) -> None:
        if block.get(key) == value:
            block.ignored(key, f"{value!r} is the default")
        else:
            block.refused(key, reason)

    return read
