"""A mapping in the configuration of another framework, read key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from optcore.recipes.conversion import MISSING, Conversion, Fate

T = TypeVar("T")


class Block:
    """
    One mapping in a configuration file, whose keys a converter reads and records.

    A method that reads a key (`number`, `flag`, ...) returns the value. If the value is wrong, or a
    required key is missing, the method records a refusal and returns a placeholder, so that the
    converter can find further problems.

    A method that records what became of a key (`converted`, `ignored`, ...) does nothing if the
    file lacks the key.
    """

    def __init__(
        self, result: Conversion, data: Mapping[str, Any], path: tuple[str, ...] = ()
    ) -> None:
        self.result, self.path = result, path
        self._data = {str(name): value for name, value in data.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401
        """Return the value of the key *name*, unchanged; *default* if the file lacks the key."""
        return self._data.get(name, default)

    def given(self, name: str) -> bool:
        """Return whether the file has the key *name* with a value other than null."""
        return self._data.get(name) is not None

    def name_of(self, name: str) -> str:
        """Return the full name of the key *name*, such as ``Optimizer.lr.name``."""
        return ".".join((*self.path, name))

    # Methods that read a key. They do not record what became of it.

    def block(self, name: str) -> Block:
        """Return the mapping in the key *name*; an empty mapping if the key is missing or null."""
        value = self._data.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.refused(name, "must be a mapping")
            value = None
        if name in self._data and not value:
            self.ignored(name, "it is empty")
        return Block(self.result, value or {}, (*self.path, name))

    def number(self, name: str, default: object = MISSING, *, of: str = "") -> float:
        """
        Return the value of the key *name* as a number.

        A text such as 1e-3 is accepted too, since YAML 1.1 reads this number as text.
        """
        return self._read(name, default, of, parse=_number, rule="must be a number", instead=1.0)

    def whole(self, name: str, default: object = MISSING, *, of: str = "") -> int:
        """Return the value of the key *name* as a whole number."""
        return self._read(name, default, of, parse=_whole, rule="must be a whole number", instead=1)

    def numbers(self, name: str, default: object = MISSING, *, of: str = "") -> list[float]:
        """Return the value of the key *name* as a list of numbers."""
        return self._read(
            name, default, of, parse=_numbers, rule="must be a list of numbers", instead=[1.0]
        )

    def flag(self, name: str, default: object = MISSING, *, of: str = "") -> bool:
        """Return the value of the key *name* as true or false."""
        return self._read(
            name, default, of, parse=_flag, rule="must be true or false", instead=False
        )

    def text(self, name: str, default: object = MISSING, *, of: str = "") -> str:
        """Return the value of the key *name* as text."""
        return self._read(name, default, of, parse=_text, rule="must be text", instead="")

    def choice(self, name: str, among: Mapping[str, T], default: str | None = None) -> T:
        """
        Return ``among[value]`` for the value of the key *name*.

        If the file lacks the key, *default* is the value.
        """
        given = self._data.get(name, default)
        if isinstance(given, str) and given in among:
            return among[given]
        self.refused(name, f"must be one of {', '.join(among)}", required=True)
        return next(iter(among.values()))

    def _read(
        self,
        name: str,
        default: Any,  # noqa: ANN401
        of: str,
        *,
        parse: Callable[[Any], T],
        rule: str,
        instead: T,
    ) -> T:
        value = self._data.get(name, default)
        if value is MISSING:
            self.refused(name, f"is required{f' for {of}' if of else ''}", required=True)
            return instead
        if name not in self._data:
            return value  # type: ignore[no-any-return]  # the default is of the type
        try:
            return parse(value)
        except (TypeError, ValueError, OverflowError):
            self.refused(name, rule)
            return instead

    # Methods that record what became of a key.

    def converted(
        self, name: str, field: str, value: object, *, reason: str = "", tell: bool = False
    ) -> None:
        """
        Set *field* of the job to *value*, and record that the key *name* determines *field*.

        With *tell*, users see the *reason* even if the whole file is converted.
        """
        if name in self._data:
            self.result.set(field, value)
            self._record(name, "converted", reason, ((field, value),), tell=tell)

    def ignored(self, name: str, reason: str) -> None:
        """
        Record that the key *name* has no effect, not even in its own framework.

        The *reason* says why.
        """
        if name in self._data:
            self._record(name, "ignored", reason)

    def other(self, name: str, reason: str, *, tell: bool = False) -> None:
        """
        Record that the key *name* is not about the optimization.

        With *tell*, users see the *reason* even if the whole file is converted.
        """
        if name in self._data:
            self._record(name, "other", reason, tell=tell)

    def refused(self, name: str, reason: str, *, required: bool = False) -> None:
        """
        Record that the key *name* cannot be converted; the *reason* says why.

        With *required*, a key that the file lacks is recorded too.
        """
        if name in self._data or required:
            self._record(name, "refused", reason)

    def left(self) -> list[str]:
        """
        Return the keys without a record.

        A key whose value is a mapping has a record if every key in the mapping has one.
        """
        return [name for name in self if not self._is_accounted(name)]

    def _is_accounted(self, name: str) -> bool:
        value, path = self._data[name], (*self.path, name)
        if self.result.accounted(path) or not (isinstance(value, Mapping) and value):
            return self.result.accounted(path)
        inner = Block(self.result, value, path)
        return not inner.left()

    def _record(
        self,
        name: str,
        fate: Fate,
        reason: str,
        fields: tuple[tuple[str, object], ...] = (),
        *,
        tell: bool = False,
    ) -> None:
        value = self._data.get(name, MISSING)
        path = (*self.path, name)
        self.result.record(path, value, fate, reason=reason, fields=fields, tell=tell)


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError
    return value if isinstance(value, int) else float(value)  # type: ignore[arg-type]


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return [_number(each) for each in value]


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
