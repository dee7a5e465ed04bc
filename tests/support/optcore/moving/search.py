"""Looks for a spec in which a field has an effect: as given, then with another field moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from optcore.spec.errors import SpecError
from tests.support.optcore.moving.values import others, put

Parsed = TypeVar("Parsed", bound=BaseModel)
Path = tuple[str | int, ...]


class Place(NamedTuple):
    """Where a field stands in a spec, and the class that has it."""

    path: Path
    owner: type[BaseModel]


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

    def of(self, bases: Sequence[dict[str, Any]], *, within: Path = ()) -> list[Found]:
        """
        Return what becomes of each field of the specs *bases*, which are of one kind.

        Args:
            bases: the specs, as plain data.
            within: path of the part whose fields are moved; empty for the whole spec.
        """
        fields = self.fields(bases)
        moved = [place for place in fields if place.path[: len(within)] == within]
        return [self._found(place, bases, fields) for place in moved]

    def idle_somewhere(self, bases: Sequence[dict[str, Any]], *, within: Path = ()) -> set[Path]:
        """Return the fields that take other values in one of *bases*, and change nothing there."""
        fields = self.fields(bases)
        found = set()
        for base in bases:
            for place, field in fields.items():
                if place.path[: len(within)] != within:
                    continue
                accepted, effective = self._moves(base, place, field)
                if accepted and not effective:
                    found.add(place.path)
        return found

    def fields(self, bases: Sequence[dict[str, Any]]) -> dict[Place, FieldInfo]:
        """Return the fields of *bases*, and of the specs inside of them."""
        found: dict[Place, FieldInfo] = {}
        for base in bases:
            tried = self._tried(base)
            if tried is not None:
                found |= dict(self._fields(tried[0], ()))
        return found

    def _found(
        self, place: Place, bases: Sequence[dict[str, Any]], fields: dict[Place, FieldInfo]
    ) -> Found:
        accepted = False
        for base in bases:
            some, effective = self._moves(base, place, fields[place])
            accepted |= some
            if effective:
                return Found(place.path, accepted=True, effective=True)
        # What no other value is accepted for is refused. The dialect is no companion: each dialect
        # is searched by itself.
        for base in bases if accepted else []:
            for along, field in fields.items():
                if along == place or along.path[-1] in self._alone:
                    continue
                for value in self._accepted(base, along, field):
                    moved = put(base, along.path, value)
                    some, effective = self._moves(moved, place, fields[place])
                    accepted |= some
                    if effective:
                        return Found(place.path, accepted=True, effective=True, along=along.path)
        return Found(place.path, accepted=accepted, effective=False)

    def _moves(self, base: dict[str, Any], place: Place, field: FieldInfo) -> tuple[bool, bool]:
        """Return whether *field* can be moved in *base*, and whether that has an effect."""
        before = self._tried(base)
        accepted = False
        if before is None:
            return False, False
        for value in self._accepted(base, place, field):
            accepted = True
            after = self._tried(put(base, place.path, value))
            if after is not None and after[1] != before[1]:
                return True, True
        return accepted, False

    def _accepted(self, base: dict[str, Any], place: Place, field: FieldInfo) -> Iterator[Any]:
        tried = self._tried(base)
        if tried is None:
            return
        owner: Any = tried[0]
        for part in place.path[:-1]:
            owner = _inside(owner, part)
        # Where one of several classes stands, another may have no such field.
        if type(owner) is not place.owner:
            return
        for value in others(field, _inside(owner, place.path[-1])):
            if self._tried(put(base, place.path, value)) is not None:
                yield value

    def _fields(self, spec: BaseModel, path: Path) -> Iterator[tuple[Place, FieldInfo]]:
        for name, field in type(spec).model_fields.items():
            if name in self._skip or (name == "kind" and not path):
                continue
            yield Place((*path, name), type(spec)), field
            value = getattr(spec, name)
            several = enumerate(value) if isinstance(value, list) else ()
            for part in (((*path, name), value), *(((*path, name, i), v) for i, v in several)):
                if isinstance(part[1], BaseModel):
                    yield from self._fields(part[1], part[0])

    def _tried(self, data: dict[str, Any]) -> tuple[Parsed, object] | None:
        key = repr(data)
        if key not in self._seen:
            try:
                spec = self._parse(data)
                self._seen[key] = spec, self._effect(spec)
            except SpecError:
                self._seen[key] = None
        return self._seen[key]


def _inside(value: Any, part: str | int) -> Any:
    """Return the field or the entry *part* of *value*; None if it has none."""
    if isinstance(part, str):
        return getattr(value, part, None)
    return value[part] if isinstance(value, list) and part < len(value) else None
