"""The result of converting another framework's configuration file to a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optcore.spec.errors import short_repr

Fate = Literal["converted", "ignored", "other", "refused"]
"""What became of a key. converted: it is now a field of the job. ignored: it has no effect in its
own framework either. other: it is not about the optimization. refused: no job is equivalent."""
Path = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """
    The record of what became of one key in a file.

    Attributes:
        path: the key, after the keys that contain it: ``Optimizer.lr.learning_rate``.
        value: the value of the key; `MISSING` if the file lacks the key.
        fate: what became of the key: converted, ignored, other or refused.
        fields: (field, value) of each field of the job that comes from the key.
        reason: the reason for *fate*; empty if *fields* explain it.
        tell: whether the user sees the reason even if the whole file is converted.
    """

    path: str
    value: object
    fate: Fate
    fields: tuple[tuple[str, object], ...] = ()
    reason: str = ""
    tell: bool = False

    @property
    def problem(self) -> str:
        """The error message about a refused key."""
        got = "" if self.value is MISSING else f", got {short_repr(self.value)}"
        return f"{self.path} {self.reason}{got}"


class Missing:
    """The type of `MISSING`, which stands for the value of a key that the file lacks."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


class Conversion:
    """
    The result of converting one configuration file: parts of a job, and an `Entry` for each key.

    A converter records what became of each key with the methods of `optcore.recipes.block.Block`.
    In the end, `finish` refuses the keys without a record, so that no key is dropped silently.
    """

    def __init__(self, config: Mapping[str, Any], source: str) -> None:
        """Begin to convert *config*, the content of a file of the kind *source*."""
        self.config, self.source = config, source
        self.job: dict[str, Any] = {}
        """The parts of a job that the file determines; incomplete if there are `problems`."""
        self.unacceptable: list[str] = []
        """Error messages with which a job would be refused, although all keys are converted."""
        self._entries: dict[Path, Entry] = {}
        self._defaults: dict[str, Entry] = {}

    @property
    def entries(self) -> list[Entry]:
        """The entries in the order of the file; entries of keys that the file lacks come last."""
        order = {path: i for i, (path, _) in enumerate(leaves(self.config))}
        found = sorted(self._entries.items(), key=lambda item: _position(item[0], order))
        return [entry for _, entry in found]

    @property
    def defaults(self) -> list[Entry]:
        """Entries for fields of the job whose values are the framework's defaults."""
        given = {field for entry in self._entries.values() for field, _ in entry.fields}
        return [entry for field, entry in self._defaults.items() if field not in given]

    @property
    def problems(self) -> list[str]:
        """Error messages: one per refused key, and those with which the job would be refused."""
        refused = [entry.problem for entry in self.entries if entry.fate == "refused"]
        return refused + self.unacceptable

    @property
    def notes(self) -> list[str]:
        """A line for each key without effect, and for each key whose reason the user must see."""
        found = [(entry, f"{entry.path}: {entry.reason}") for entry in self.entries]
        ignored = [text for entry, text in found if entry.fate == "ignored"]
        return ignored + [text for entry, text in found if entry.tell]

    def set(self, field: str, value: object) -> None:
        """Set *field* of the job, such as ``optimizer.lr``."""
        *parents, name = field.split(".")
        place = self.job
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value

    def default(self, field: str, value: object, reason: str) -> None:
        """
        Set *field* of the job to *value*, which comes from the framework and not from the file.

        The *reason* says why the framework has this value.
        """
        self.set(field, value)
        self._defaults[field] = Entry(field, MISSING, "converted", ((field, value),), reason)

    def record(
        self,
        path: Path,
        value: object,
        fate: Fate,
        *,
        reason: str = "",
        fields: tuple[tuple[str, object], ...] = (),
        tell: bool = False,
    ) -> None:
        """
        Record what became of the key *path*.

        If the key has a record already, the result depends on the fate in the old record:

        - ``ignored`` or ``other``: the new record replaces the old one.
        - ``refused``: the old record stays, and the new one is dropped.
        - ``converted``: if the new fate is ``refused``, the new record replaces the old one. If it
          is ``converted``, the fields of both records are kept. If it is ``ignored`` or ``other``,
          the new record is dropped.
        """
        before = self._entries.get(path)
        if before is not None and before.fate == "refused":
            return
        if before is not None and before.fate == "converted" and fate in ("ignored", "other"):
            return
        if before is not None and fate == "converted":
            fields, reason = before.fields + fields, reason or before.reason
        self._entries[path] = Entry(".".join(path), value, fate, fields, reason, tell)

    def accounted(self, path: Path) -> bool:
        """Return whether there is a record for the key *path*, or for a key that contains it."""
        return any(path[:n] in self._entries for n in range(1, len(path) + 1))

    def finish(self) -> None:
        """Refuse the keys for which the converter has made no record."""
        for path, value in leaves(self.config):
            if not self.accounted(path):
                self.record(path, value, "refused", reason=f"is not known in {self.source}")


def leaves(config: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Yield (path, value) of each key whose value is not a mapping, or is an empty mapping."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, str(name)))
        else:
            yield (*path, str(name)), value


def _position(path: Path, order: Mapping[Path, int]) -> int:
    """
    Return the position of the key *path* in the file.

    For a key whose value is a mapping, return the position of the first key in the mapping.
    """
    if path in order:
        return order[path]
    within = (i for leaf, i in order.items() if leaf[: len(path)] == path)
    return min(within, default=len(order))
