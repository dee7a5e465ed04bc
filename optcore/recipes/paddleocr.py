"""Convert PaddleOCR's ``Optimizer:`` block to the optimizer and schedule of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from optcore.recipes.paddleocr_lr import NotConvertible, schedule_of
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.catalogue import AnySchedule
from optcore.spec.errors import lines, problems
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS, AnyOptimizer

# The classes in ppocr/optimizer/optimizer.py; a block names one of them.
KINDS = {
    "Adam": "adam",
    "AdamW": "adamw",
    "Momentum": "momentum",
    "RMSProp": "rmsprop",
    "Adadelta": "adadelta",
}
SAME = {
    "beta1",
    "beta2",
    "momentum",
    "rho",
    "centered",
    "amsgrad",
    "multi_precision",
    "no_weight_decay_name",
    "one_dim_param_no_weight_decay",
}
RENAMED = {"epsilon": "eps"}

_optimizers: TypeAdapter[OptimizerSpec] = TypeAdapter(AnyOptimizer)
_schedules: TypeAdapter[ScheduleSpec] = TypeAdapter(AnySchedule)


@dataclass
class Converted:
    """
    The result of converting a configuration.

    Attributes:
        optimizer: the optimizer of the job.
        schedule: the schedule of the job.
        epochs: length of the run in epochs; None if the configuration does not contain it.
        problems: error messages about what cannot be converted exactly. If there are any, the
            other attributes must not be used.
    """

    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    problems: list[str] = field(default_factory=list)

    def as_job(self) -> dict[str, Any]:
        """Return the parts of a job that the configuration determines."""
        job: dict[str, Any] = {"optimizer": self.optimizer, "schedule": self.schedule}
        return job | ({"training": {"epochs": self.epochs}} if self.epochs is not None else {})


def convert_file(path: Path) -> Converted:
    """
    Return the result of converting the configuration file at *path*.

    Raises:
        ValueError: the file is not YAML, or has no ``Optimizer:`` block.
    """
    import yaml  # noqa: PLC0415  # only this command needs it

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a YAML file: {error}") from None
    if not isinstance(config, Mapping) or not isinstance(config.get("Optimizer"), Mapping):
        raise ValueError(f"{path} must have an Optimizer: block")  # noqa: TRY004
    return convert(config)


def convert(config: Mapping[str, Any]) -> Converted:
    """Return the result of converting *config*, a whole PaddleOCR configuration."""
    block = dict(config["Optimizer"])
    result = Converted()
    try:
        _convert(block, config.get("Global") or {}, result)
    except NotConvertible as error:
        result.problems.append(str(error))
    # An unfinished result would be refused for lack of fields that the file may contain.
    if not result.problems:
        result.problems += _refused(result)
    return result


def _convert(block: dict[str, Any], run: object, result: Converted) -> None:
    epochs = _mapping("Global", run).get("epoch_num")
    result.epochs = epochs if epochs is None else _number("Global.epoch_num", epochs)
    kind = KINDS.get(str(block.get("name", "")))
    if kind is None:
        known = ", ".join(KINDS)
        result.problems.append(f"Optimizer.name must be one of {known}, got {block.get('name')!r}")
        return
    # Each function removes its fields from the block; `_rest` converts or reports those left.
    del block["name"]
    result.optimizer = {"kind": kind, "dialect": "paddleocr"}
    rates = _mapping("Optimizer.lr", block.pop("lr", None) or {})
    _decay(block, kind, result)
    _clip(block, result)
    _rest(block, kind, result)
    result.schedule, result.optimizer["lr"] = schedule_of(rates, epochs=result.epochs)


def _refused(result: Converted) -> list[str]:
    """Return the error messages that a job with this result would get."""
    found = []
    for name, parser in (("optimizer", _optimizers), ("schedule", _schedules)):
        given = getattr(result, name)
        try:
            parser.validate_python(given)
        except ValidationError as error:
            told, more = problems(error.errors(include_url=False), given)
            found += lines([(f"{name}.{p.param}", p.message) for p in told], more)
    return found


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise NotConvertible(f"{name} must be a mapping, got {value!r}")
    return value


def _number(name: str, value: object) -> float:
    """Return *value* as a number; it may be a string, since YAML reads 1e-3 as one."""
    try:
        return value if isinstance(value, int) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise NotConvertible(f"{name} must be a number, got {value!r}") from None


def _decay(block: dict[str, Any], kind: str, result: Converted) -> None:
    given, decay = block.pop("regularizer", None), block.pop("weight_decay", None)
    # PaddleOCR passes both to Paddle's optimizer as its weight_decay.
    if given and decay is not None:
        result.problems.append(
            f"Optimizer.weight_decay must not come with a regularizer, got {decay!r}"
        )
    if decay is not None:
        result.optimizer["weight_decay"] = float(_number("Optimizer.weight_decay", decay))
    if not given:
        return
    given = _mapping("Optimizer.regularizer", given)
    name = given.get("name")
    factor = float(_number("Optimizer.regularizer.factor", given.get("factor", 0.0)))
    if name in ("L2", "L2Decay"):
        result.optimizer["weight_decay"] = factor
    # Paddle's AdamW accepts only a number as its weight_decay, no regularizer.
    elif name in ("L1", "L1Decay") and kind != "adamw":
        result.optimizer["l1"] = factor
    else:
        result.problems.append(f"Optimizer.regularizer.name must be L1 or L2, got {name!r}")


def _clip(block: dict[str, Any], result: Converted) -> None:
    for theirs, kind in (("clip_norm", "norm"), ("clip_norm_global", "global_norm")):
        largest = block.pop(theirs, None)
        if largest is not None and "clip" not in result.optimizer:  # PaddleOCR takes the first
            largest = float(_number(f"Optimizer.{theirs}", largest))
            result.optimizer["clip"] = {"kind": kind, "max": largest}


def _rest(block: dict[str, Any], kind: str, result: Converted) -> None:
    fields = OPTIMIZERS[kind].model_fields
    for name, value in block.items():
        ours = RENAMED.get(name, name)
        if name == "lazy_mode":
            continue  # it has no effect on dense gradients, and a job has no others
        if (name in SAME or name in RENAMED) and ours in fields:
            number = fields[ours].annotation is float and value is not None
            result.optimizer[ours] = float(_number(f"Optimizer.{name}", value)) if number else value
        else:
            # PaddleOCR's classes ignore unknown keywords, including misspelt ones.
            result.problems.append(f"Optimizer.{name} has no counterpart in {kind}, got {value!r}")
