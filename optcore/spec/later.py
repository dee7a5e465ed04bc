"""A base class for specs that leave newer fields out of JSON if these have their default."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from optcore.spec.base import Spec, fixed_defaults


class LaterSpec(Spec):
    """The base of specs whose JSON leaves out the fields in `LATER` that have their default."""

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields added after release 0.2.0. JSON leaves them out if they have their default, so that a
    spec that 0.2.0 accepted keeps its JSON and digest."""

    @model_serializer(mode="wrap")
    def _leave_out_later_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        # As `later_fields` does, but a network may have thousands of layers.
        fixed, others = _defaults_of_later(type(self))
        for name, default in fixed:
            if getattr(self, name) == default:
                dumped.pop(name, None)
        for name in others:
            if getattr(self, name) == self.default_of(name):
                dumped.pop(name, None)
        return dumped

    def later_fields(self) -> frozenset[str]:
        """Return the fields in `LATER` that do not have their default."""
        return frozenset(
            name for name in self.LATER if getattr(self, name) != self.default_of(name)
        )


@cache
def _defaults_of_later(cls: type[LaterSpec]) -> tuple[list[tuple[str, object]], list[str]]:
    """Return (field, default) for the fields in `LATER`, and the fields without a fixed default."""
    fixed = fixed_defaults(cls)
    known = [(name, fixed[name]) for name in cls.LATER if name in fixed]
    return known, [name for name in cls.LATER if name not in fixed]
