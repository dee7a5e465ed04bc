"""Tables of what the classes of a framework read, and how each key is converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optcore.recipes.block import Block
from optcore.spec.errors import did_you_mean

Read = Callable[[Block, str], None]
"""Reads a key of a block and accounts for it."""


@dataclass(frozen=True)
class ClassTable:
    """
    What one class of a framework reads.

    Attributes:
        kind: what the class is here: the kind of an optimizer or of a schedule.
        reads: the keys that it reads, each with the function that converts it.
        required: the keys without which the class cannot be made.
        swallows: whether it takes any other keyword, and does not use it; if not, such a keyword
            raises TypeError.
    """

    kind: str
    reads: Mapping[str, Read]
    required: tuple[str, ...] = ()
    swallows: bool = True

    def read(self, block: Block, name: str, framework: str) -> None:
        """Account for every key of *block*, the arguments of the class *name* of *framework*."""
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
    """Return what converts a key to the number *field*."""
    return lambda block, key: block.converted(key, field, block.number(key))


def flag(field: str) -> Read:
    """Return what converts a key to the flag *field*."""
    return lambda block, key: block.converted(key, field, block.flag(key))


def text(field: str) -> Read:
    """Return what converts a key to the text *field*; null is no text."""
    return lambda block, key: block.converted(
        key, field, block.text(key) if block.given(key) else ""
    )


def ignored(reason: str) -> Read:
    """Return what says that a key has no effect."""
    return lambda block, key: block.ignored(key, reason)


def only(value: object, reason: str) -> Read:
    """Return what says that a key has no effect with *value*, and refuses any other value."""

    def read(block: Block, key: str) -> None:
        if block.get(key) == value:
            block.ignored(key, f"{value!r} is the default")
        else:
            block.refused(key, reason)

    return read
