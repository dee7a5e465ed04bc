"""The unions in which `kind` selects a class, with the specs of installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from optcore.packages.code import CODE
from optcore.packages.entry_points import NAMES, installed
from optcore.spec.base import Spec, kind_of

AnySpec = TypeVar("AnySpec", bound=Spec)


def by_kind(union: Any, base: type[AnySpec]) -> dict[str, type[AnySpec]]:  # noqa: ANN401
    """
    Return kind -> class for the classes in *union*, in alphabetical order of the kinds.

    Args:
        union: a union in the form ``Annotated[A | B, Field(discriminator="kind")]``. Its members
            may have tags: ``Annotated[A, Tag("a")]``.
        base: the base class of all classes in the union.
    """
    found: dict[str, type[AnySpec]] = {}
    for member in get_args(get_args(union)[0]):
        cls = next(iter(get_args(member)), member)
        assert issubclass(cls, base)
        found[kind_of(cls)] = cls
    return dict(sorted(found.items()))


def with_installed(union: Any, group: str, base: type[Spec], required: Sequence[str]) -> Any:  # noqa: ANN401
    """
    Return *union* with the classes that the entry points of *group* name.

    Args:
        union: a union in the form ``Annotated[A | B, Field(discriminator="kind")]``. If *base* is
            one of its classes (for type checkers), the result does not contain *base*.
        group: the group of entry points.
        base: the base of the classes of the group.
        required: attributes that each class of the group must define.
    """
    members, *notes = get_args(union)
    known = {kind_of(each): each for each in get_args(members) if each is not base}

    def check(found: object) -> None:
        if not (isinstance(found, type) and issubclass(found, base)) or found is base:
            text = f"must be a class derived from {base.__module__}.{base.__name__}"
            raise TypeError(f"{text}, got {found!r}")
        for name in required:
            if getattr(found, name, None) is getattr(base, name, None):
                raise TypeError(f"{found.__name__} must define {name}")
        if CODE in required and not _names_code(getattr(found, CODE)):
            got = f"got {getattr(found, CODE)!r}"
            raise TypeError(f"{CODE} of {found.__name__} must be a text 'module:function', {got}")
        kind = _kind(found)
        if kind in known:
            text = f"kind must not be that of {known[kind].__module__}.{known[kind].__name__}"
            raise TypeError(f"{text}, got {kind!r}")
        # A field whose type is not known raises an error only here.
        found.model_rebuild()
        known[kind] = found

    installed(group, check)
    return Annotated[Union[tuple(known.values())], *notes]  # noqa: UP007  of classes known only now


def _names_code(text: object) -> bool:
    if not isinstance(text, str):
        return False
    names = text.replace(":", ".").split(".")
    return text.count(":") == 1 and all(name.isidentifier() for name in names)


def _kind(found: type[Spec]) -> str:
    annotation = found.model_fields["kind"].annotation
    names = get_args(annotation) if get_origin(annotation) is Literal else ()
    if len(names) != 1 or not isinstance(names[0], str) or not NAMES.fullmatch(names[0]):
        raise TypeError(
            f"kind of {found.__name__} must be a Literal of one name that matches {NAMES.pattern}, "
            f"got {annotation}"
        )
    return names[0]
