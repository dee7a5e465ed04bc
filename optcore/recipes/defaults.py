"""Convert or record keys in ways that several converters need."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from optcore.recipes.block import Block

NOT_OPTIMIZATION = "not about the optimization"


def set_value(block: Block, name: str, field: str, value: object, framework: str) -> None:
    """
    Set *field* of the job to *value*, and record where *value* comes from.

    If the file has the key *name*, *value* comes from this key. If not, *value* is the default of
    *framework*.
    """
    if name in block:
        block.converted(name, field, value)
    else:
        block.result.default(field, value, f"the default of {framework} for {name}")


def set_number(block: Block, name: str, field: str, default: float, framework: str) -> float:
    """
    Set *field* of the job to the value of the key *name*, and return this number.

    If *block* lacks the key, the number is *default*, the default of *framework*.
    """
    value = float(block.number(name, default))
    set_value(block, name, field, value, framework)
    return value


def others(block: Block, names: Iterable[str], reason: str = NOT_OPTIMIZATION) -> None:
    """Record that the keys *names* are not about the optimization."""
    for name in names:
        block.other(name, reason)


def ignore(block: Block, names: Iterable[str], reason: str) -> None:
    """Record that the keys *names* have no effect in their own framework, for this *reason*."""
    for name in names:
        block.ignored(name, reason)


def only(block: Block, name: str, off: Collection[object], refused: str, otherwise: str) -> None:
    """
    Refuse the key *name* unless its value is in *off*, the values with which it has no effect.

    *refused* is the reason for the refusal. For a value in *off*, the key is recorded as ``other``,
    with the reason *otherwise*.
    """
    if any(_same(block.get(name), value) for value in off):
        block.other(name, otherwise)
    else:
        block.refused(name, refused)


def _same(value: object, other: object) -> bool:
    # A flag and a number are different, although 0 == False in Python.
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def words(text: str) -> tuple[str, ...]:
    """Return the keys in *text*, which are separated by blanks or line ends."""
    return tuple(text.split())
