"""Looks for a spec in which a field has an effect: as given, then with another field moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from optcore.spec.errors import SpecError
from tests.support.optcore.moving.values import others, put

Parsed = TypeVar("Parsed", bound=BaseModel)
Path = tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """
    What became of a field.

    Attributes:
        path: where the field stands.
        accepted: whether any other value was accepted.
        effective: whether one of them changed the effect.
        along: the field that had to move as well; empty if none had to.
    """

    path: Path
    accepted: bool
    effective: bool
    along: Path = ()

    @property
    def idle(self) -> bool:
        """Whether other values are accepted and change nothing."""
        return self.accepted and not self.effective


class Search(Generic[Parsed]):
    """Moves the fields of one kind of spec."""

    def __init__(
        self,
        parse: Callable[[Any], Parsed],
        effect: Callable[[Parsed], object],
        *,
        skip: frozenset[str],
        alone: frozenset[str] = frozenset({"dialect"}),
    ) -> None:
        """
        Remember how to try.

        Args:
            parse: a function from plain data to a spec, or raises `SpecError`.
            effect: a function from a spec to something that can be compared.
            skip: names of fields that are not moved.
            alone: names of fields that are not moved to let another field have an effect.
        """
        self._parse, self._effect, self._skip, self._alone = parse, effect, skip, alone
        self._seen: dict[str, tuple[Parsed, object] | None] = {}

    def of(self, bases: Sequence[dict[str, Any]]) -> list[Found]:
        """Return what becomes of each field of the specs *bases*, which are of one kind."""
        fields: dict[Path, FieldInfo] = {}
        for base in bases:
            tried = self._tried(base)
            if tried is not None:
                fields |= dict(self._fields(tried[0], ()))
        return [self._found(path, bases, fields) for path in fields]

    def _found(
        self, path: Path, bases: Sequence[dict[str, Any]], fields: dict[Path, FieldInfo]
    ) -> Found:
        accepted = False
        for base in bases:
            some, effective = self._moves(base, path, fields[path])
            accepted |= some
            if effective:
                return Found(path, accepted=True, effective=True)
        # What no other value is accepted for is refused. The dialect is no companion: each dialect
        # is searched by itself.
        for base in bases if accepted else []:
            for along, field in fields.items():
                if along == path or along[-1] in self._alone:
                    continue
                for value in self._accepted(base, along, field):
                    some, effective = self._moves(put(base, along, value), path, fields[path])
                    accepted |= some
                    if effective:
                        return Found(path, accepted=True, effective=True, along=along)
        return Found(path, accepted=accepted, effective=False)

    def _moves(self, base: dict[str, Any], path: Path, field: FieldInfo) -> tuple[bool, bool]:
        """Return whether *field* can be moved in *base*, and whether that has an effect."""
        before = self._tried(base)
        accepted = False
        if before is None:
            return False, False
        for value in self._accepted(base, path, field):
            accepted = True
            after = self._tried(put(base, path, value))
            if after is not None and after[1] != before[1]:
                return True, True
        return accepted, False

    def _accepted(self, base: dict[str, Any], path: Path, field: FieldInfo) -> Iterator[Any]:
        tried = self._tried(base)
        if tried is None:
            return
        now: Any = tried[0]
        for part in path:
            now = getattr(now, part) if isinstance(now, BaseModel) else None
        for value in others(field, now):
            if self._tried(put(base, path, value)) is not None:
                yield value

    def _fields(self, spec: BaseModel, path: Path) -> Iterator[tuple[Path, FieldInfo]]:
        for name, field in type(spec).model_fields.items():
            if name in self._skip or (name == "kind" and not path):
                continue
            yield (*path, name), field
            value = getattr(spec, name)
            if isinstance(value, BaseModel):
                yield from self._fields(value, (*path, name))

    def _tried(self, data: dict[str, Any]) -> tuple[Parsed, object] | None:
        key = repr(data)
        if key not in self._seen:
            try:
                spec = self._parse(data)
                self._seen[key] = spec, self._effect(spec)
            except SpecError:
                self._seen[key] = None
        return self._seen[key]
