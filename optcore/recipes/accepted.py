"""Check whether a job would be accepted with the fields that a configuration was converted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from optcore.spec.errors import lines, problems
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import AnyOptimizer
from optcore.spec.run import RunSpec

# Any model and dataset would do: a file does not determine them. 938 steps per epoch are few enough
# for long runs, and enough for durations of a small part of an epoch.
MODEL = {"kind": "mlp", "hidden": [8]}
DATASET = {"kind": "mnist", "batch_size": 64}
STEPS = 100_000
"""Length of the run, in steps, if the file does not contain it."""

_optimizers: TypeAdapter[OptimizerSpec] = TypeAdapter(
    AnyOptimizer, config=ConfigDict(defer_build=True)
)


def refusals_of(job: Mapping[str, Any]) -> list[str]:
    """
    Return the error messages with which the service would refuse *job*.

    *job* has only the parts of a job that were converted from a file. A small model and the dataset
    mnist are added, and a number of steps if there is no length.
    """
    training = dict(job.get("training", {}))
    if "epochs" not in training and "steps" not in training:
        training["steps"] = STEPS
    optimizer = job.get("optimizer", {})
    given = {
        **job,
        "model": MODEL,
        "dataset": DATASET,
        "training": training,
        "optimizer": _without_groups(optimizer),
    }
    found = _refused(RunSpec.model_validate, given)
    if "groups" in optimizer:
        found += _refused(_optimizers.validate_python, optimizer, "optimizer.")
    return found


def _without_groups(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *optimizer* without its groups.

    Groups are checked without a model, since their patterns need not match a parameter of the added
    model.
    """
    return {name: value for name, value in optimizer.items() if name != "groups"}


def _refused(parse: Any, given: Any, path: str = "") -> list[str]:  # noqa: ANN401
    try:
        parse(given)
    except ValidationError as error:
        told, more = problems(error.errors(include_url=False), given)
        return lines([(f"{path}{each.param}", each.message) for each in told], more)
    return []
