"""The fields that an optimizer has in a dialect."""

from __future__ import annotations

from functools import cache

from optcore.spec.base import Spec, dialects_of, fields_of


def has_field(cls: type[Spec], name: str, dialect: str) -> bool:
    """Return whether optimizers of *cls* have the field *name* in *dialect*."""
    defaults = dialects_of(cls, name)
    return defaults is None or dialect in defaults


@cache
def names_in(cls: type[Spec], dialect: str, *, common: type[Spec]) -> tuple[str, ...]:
    """
    Return the names of the fields of *cls* that *dialect* has.

    They are ordered for readers: kind, dialect and engine, then the optimizer's own fields, then
    the fields of *common*, which all optimizers have.
    """
    names = fields_of(cls)
    own = [name for name in names if name not in fields_of(common)]
    ordered = dict.fromkeys(["kind", "dialect", "engine", *own, *names])
    return tuple(name for name in ordered if has_field(cls, name, dialect))
