"""A base class for specs that leave newer fields out of JSON if these have their default."""

from __future__ import annotations

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
        return frozenset(
            name for name in self.LATER if getattr(self, name) != self.default_of(name)
        )
