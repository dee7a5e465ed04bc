"""Convert keys for which a framework has a default, and keys of which only some values can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from optcore.recipes.block import Block

NOT_OPTIMIZATION = "not about the optimization"


def set_value(block: Block, name: str, field: str, value: object, by: str) -> None:
    """Set *field* to *value*, from the key *name*, or as the default of *by* if it is missing."""
    if name in block:
        block.converted(name, field, value)
    else:
        block.result.default(field, value, f"the default of {by} for {name}")


def set_number(block: Block, name: str, field: str, default: float, by: str) -> float:
    """Set *field* to the number *name*, or to *default*; return it."""
    value = float(block.number(name, default))
    set_value(block, name, field, value, by)
    return value


def others(block: Block, names: Iterable[str], reason: str = NOT_OPTIMIZATION) -> None:
    """Say that the keys *names* are not about the optimization."""
    for name in names:
        block.other(name, reason)


def ignore(block: Block, names: Iterable[str], reason: str) -> None:
    """Say that the keys *names* have no effect in their own framework either."""
    for name in names:
        block.ignored(name, reason)


def only(block: Block, name: str, off: Collection[object], refused: str, otherwise: str) -> None:
    """Refuse the key *name* unless its value is one of *off*, where it does nothing."""
    if any(_same(block.get(name), value) for value in off):
        block.other(name, otherwise)
    else:
        block.refused(name, refused)


def _same(value: object, other: object) -> bool:
    # 0 is not False: a flag and a number are different things.
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def words(text: str) -> tuple[str, ...]:
    """Return the words of *text*: a long list of keys, written as text."""
    return tuple(text.split())
