"""The files that a job's record points to: checkpoints, best state, starting state, archives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from optcore.files.files import StoredFile
from optcore.spec.networks.weight_map import WeightMap
from optserve.contract.requests.clone import Keep


@dataclass(frozen=True)
class BestPointer:
    """
    A checkpoint that a job's record points to as the best state of the run so far.

    Attributes:
        step: the number of steps the run had made when it was in this state.
        path: the path of the checkpoint, below the storage root.
        sha256: the SHA-256 of the checkpoint's ``state.json``.
        metric: the name of the metric that chooses the best state.
        value: the value of that metric in this state.
    """

    step: int
    path: str
    sha256: str
    metric: str
    value: float

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> BestPointer:
        """Return the pointer in *data*, parsed JSON from a job's record, with ``value`` as text."""
        # As a number it would pass through Lua's cjson, which writes 14 digits; a float64 needs 17.
        return cls(**{**data, "value": float(data["value"])})


@dataclass(frozen=True)
class Pointer:
    """
    A checkpoint that a job's record points to.

    Attributes:
        step: the number of steps the run had made when the checkpoint was written.
        path: the path of the checkpoint, below the storage root.
        sha256: the SHA-256 of the checkpoint's ``state.json``, which lists the SHA-256 of each of
            the other files.
    """

    step: int
    path: str
    sha256: str


@dataclass(frozen=True)
class HistoryPart(StoredFile):
    """
    A file that holds consecutive entries of a job's history.

    Attributes:
        count: the number of entries in the file.
        rank: how often the entries were joined: 0 for a part that was written from Redis, n + 1 for
            a part that was joined from parts of rank n.
    """

    count: int
    rank: int


@dataclass(frozen=True)
class StartingState:
    """
    The state that a clone starts from: a copy of a state of its parent, the job that was cloned.

    Attributes:
        job: the id of the parent.
        step: the number of steps the parent had made in that state.
        path: the path of the copy, below the storage root: a checkpoint, or a file with a network.
        sha256: the SHA-256 of the checkpoint's ``state.json``, or of the file with the network.
        keep: what the clone uses: ``weights``, or ``optimizer`` (weights and optimizer's state).
        weights: which weights the clone takes, under which names.
    """

    job: str
    step: int
    path: str
    sha256: str
    keep: Keep
    weights: WeightMap = field(default_factory=WeightMap)

    @classmethod
    def read(cls, text: str) -> StartingState:
        """Return the starting state in *text*, the JSON of what `stored` returned."""
        data = json.loads(text)
        own = {each.name: data[each.name] for each in fields(cls) if each.name != "weights"}
        return cls(**own, weights=WeightMap.read(data))

    def stored(self) -> dict[str, Any]:
        """Return the fields as JSON types; parts of `weights` that are empty are left out."""
        # Release 0.2.0 reads no other fields than its own.
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        del own["weights"]
        return {**own, **self.weights.stored()}


def stored_files(text: str | bytes) -> dict[str, StoredFile]:
    """Return the files in a record's field ``archive``, with the keys ``rows`` and ``events``."""
    return {name: StoredFile(**file) for name, file in json.loads(text).items()}


def history_parts(text: str | bytes) -> list[HistoryPart]:
    """Return the files that a record's field ``history`` lists, oldest entries first."""
    return [HistoryPart(**part) for part in json.loads(text or "[]")]
