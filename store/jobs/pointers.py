"""What a record points to in the storage: checkpoints, the best state, what was moved to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optcore.files.files import StoredFile
from optserve.contract.requests.clone import Keep


@dataclass(frozen=True)
class BestPointer:
    """
    The best state of a run that a record points to.

    Attributes:
        step: rows there were when it was found.
        path: below the storage root.
        sha256: as that of any checkpoint.
        metric: what it is best in.
        value: of that metric.
    """

    step: int
    path: str
    sha256: str
    metric: str
    value: float

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> BestPointer:
        """Return the pointer that a record holds; its value is text there."""
        # As a number it would pass through Lua's cjson, which writes 14 digits; a float64 needs 17.
        return cls(**{**data, "value": float(data["value"])})


@dataclass(frozen=True)
class Pointer:
    """
    A checkpoint that a record points to.

    Attributes:
        step: rows there were when it was made.
        path: below the storage root.
        sha256: of its facts, which hold those of its other files.
    """

    step: int
    path: str
    sha256: str


@dataclass(frozen=True)
class HistoryPart(StoredFile):
    """
    Part of a history that was moved to a file.

    Attributes:
        count: entries in it.
        rank: how often it was joined with others.
    """

    count: int
    rank: int


@dataclass(frozen=True)
class StartingState:
    """
    What a clone has from its parent: a copy of its own, which outlives the parent's.

    Attributes:
        job: the parent's id.
        step: rows the parent had made then.
        path: of the copy, below the storage root: a checkpoint, or a file with a network.
        sha256: of the checkpoint's facts, or of that file.
        keep: what is taken from it.
    """

    job: str
    step: int
    path: str
    sha256: str
    keep: Keep


def stored_files(text: str | bytes) -> dict[str, StoredFile]:
    """Return the files that the field ``archive`` of a record names."""
    return {name: StoredFile(**file) for name, file in json.loads(text).items()}


def history_parts(text: str | bytes) -> list[HistoryPart]:
    """Return the files that the field ``history`` of a record names, in order."""
    return [HistoryPart(**part) for part in json.loads(text or "[]")]
