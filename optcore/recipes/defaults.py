"""Convert keys that have a default, and keys that can be converted for some values only."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from optcore.recipes.block import Block

NOT_OPTIMIZATION = "not about the optimization"


def set_value(block: Block, name: str, field: str, value: object, by: str) -> None:
    """Set *field* to *value*, which is that of the key *name*, or else the default of *by*."""
    if name in block:
        block.converted(name, field, value)
    else:
        block.result.default(field, value, f"the default of {by} for {name}")


def set_number(block: Block, name: str, field: str, default: float, by: str) -> float:
    """Set *field* to the number in the key *name*, or to *default*, and return the number."""
    value = float(block.number(name, default))
    set_value(block, name, field, value, by)
    return value


def others(block: Block, names: Iterable[str], reason: str = NOT_OPTIMIZATION) -> None:
    """Record that the keys *names* are not about the optimization."""
    for name in names:
        block.other(name, reason)


def ignore(block: Block, names: Iterable[str], reason: str) -> None:
    """Record that the keys *names* have no effect in their own framework either."""
    for name in names:
        block.ignored(name, reason)


def only(block: Block, name: str, off: Collection[object], refused: str, otherwise: str) -> None:
    """Refuse the key *name*, unless its value is one of *off*, which have no effect."""
    if any(_same(block.get(name), value) for value in off):
        block.other(name, otherwise)
    else:
        block.refused(name, refused)


def _same(value: object, other: object) -> bool:
    # A flag and a number are different, although 0 == False in Python.
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def words(text: str) -> tuple[str, ...]:
    """Return the words in *text*, which is a long list of keys."""
    return tuple(text.split())
