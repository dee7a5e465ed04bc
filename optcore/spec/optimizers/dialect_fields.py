"""Which fields an optimizer has in a dialect, and which fields may hold numbers."""

from __future__ import annotations

from functools import cache
from typing import get_args

from optcore.spec.base import Spec, dialects_of, fields_of


def has_field(cls: type[Spec], name: str, dialect: str) -> bool:
    """Return whether optimizers of *cls* have the field *name* in *dialect*."""
    defaults = dialects_of(cls, name)
    return defaults is None or dialect in defaults


@cache
def number_fields(cls: type[Spec]) -> tuple[str, ...]:
    """Return the names of the fields of *cls* that may hold a number: not flags, texts, lists."""
    return tuple(name for name, field in fields_of(cls).items() if _may_be_number(field.annotation))


def _may_be_number(annotation: object) -> bool:
    if annotation in (int, float) or type(annotation) in (int, float):  # a number: of a Literal
        return True
    return any(map(_may_be_number, get_args(annotation)))


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
