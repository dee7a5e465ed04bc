"""A small run on a function to minimize."""

from __future__ import annotations

from typing import Any

from optcore.spec.run import RunSpec
from optcore.training.run import Run
from tests.support.optcore.runs.small import NOWHERE


def spec_of(kind: str, fields: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    """Return a run on a function; *changes* go into ``training``, or replace a part."""
    data: dict[str, Any] = {
        "model": {"kind": "point"},
        "dataset": {"kind": kind, **(fields or {})},
        "optimizer": {"kind": "sgd", "lr": 1e-3},
        "schedule": {"kind": "constant"},
    }
    for name in set(changes) & {*data}:
        data[name] = changes.pop(name)
    training = {"steps": 5, "loss": {"kind": "objective"}, **changes}
    return RunSpec.parse({**data, "training": training})


def start(kind: str, fields: dict[str, Any] | None = None, **changes: Any) -> Run:
    """Return such a run at its first step."""
    return Run.start(spec_of(kind, fields, **changes), data_dir=NOWHERE)
