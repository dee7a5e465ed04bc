"""Convert keys that have a default, and keys that can be converted for some values only."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from optcore.recipes.block import Block

NOT_OPTIMIZATION = "not about the optimization"


def set_value(block: Block, name: str, field: str, value: object, by: str) -> None:
    """
    Set *field* of the job to *value*, and record where *value* comes from.

    If the file has the key *name*, *value* comes from this key; otherwise it is the default of the
    framework *by*.
    """
    if name in block:
        block.converted(name, field, value)
    else:
        block.result.default(field, value, f"the default of {by} for {name}")


def set_number(block: Block, name: str, field: str, default: float, by: str) -> float:
    """Set *field* to the value of the key *name*, or else to *default*; return this number."""
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
    """
    Refuse the key *name* if its value is not one of *off*, with which the key has no effect.

    *refused* is the reason for the refusal, *otherwise* the reason recorded for a value in *off*.
    """
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
