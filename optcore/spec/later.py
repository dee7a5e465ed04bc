"""A base class for specs that leave newer fields out of JSON if these have their default."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from optcore.spec.base import Spec


class LaterSpec(Spec):
    """The base of specs whose JSON leaves out the fields in `LATER` that have their default."""

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields added after release 0.2.0. JSON leaves them out if they have their default, so that a
    spec that 0.2.0 accepted keeps its JSON and digest."""

    @model_serializer(mode="wrap")
    def _leave_out_later_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        for name in (self.LATER - self.later_fields()) & dumped.keys():
            del dumped[name]
        return dumped

    def later_fields(self) -> frozenset[str]:
        """Return the fields in `LATER` that do not have their default."""
        fixed = _fixed_defaults(type(self))
        return frozenset(
            name
            for name in self.LATER
            if getattr(self, name) != (fixed[name] if name in fixed else self.default_of(name))
        )


# A network may have thousands of layers, and `default_of` takes 10 us for a field.
@cache
def _fixed_defaults(cls: type[LaterSpec]) -> dict[str, object]:
    """Return the defaults of those fields in `LATER` whose default depends on no other field."""
    fields = {name: cls.model_fields[name] for name in cls.LATER}
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in fields.items()
        if not field.default_factory_takes_validated_data
    }
