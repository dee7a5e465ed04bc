"""From PaddleOCR's ``Optimizer:`` block to a job's optimizer and schedule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from optcore.spec.optimizers import OPTIMIZERS
from optserve.convert_lr import NotConvertible, schedule_of

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


@dataclass
class Converted:
    """
    What a block comes to.

    Attributes:
        optimizer: the job's optimizer.
        schedule: the job's schedule.
        epochs: length of the run, where the file says it.
        problems: what cannot be converted exactly, and why; then the rest is not to be used.
    """

    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    problems: list[str] = field(default_factory=list)

    def as_job(self) -> dict[str, Any]:
        """Return the parts of a job that it decides."""
        job: dict[str, Any] = {"optimizer": self.optimizer, "schedule": self.schedule}
        return job | ({"training": {"epochs": self.epochs}} if self.epochs is not None else {})


def command(
    file: Annotated[Path, typer.Argument(help="A PaddleOCR configuration, in YAML.")],
) -> None:
    """Print a PaddleOCR configuration's optimizer and schedule as parts of a job."""
    try:
        converted = convert_file(file)
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if converted.problems:
        typer.echo("\n".join(converted.problems), err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(converted.as_job(), indent=2))


def convert_file(path: Path) -> Converted:
    """
    Return what the configuration at *path* comes to.

    Raises:
        ValueError: it is not YAML, or has no ``Optimizer:`` block.
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
    """Return what *config*, a whole PaddleOCR configuration, comes to."""
    block = dict(config["Optimizer"])
    result = Converted(epochs=dict(config.get("Global") or {}).get("epoch_num"))
    kind = KINDS.get(str(block.get("name", "")))
    if kind is None:
        known = ", ".join(KINDS)
        result.problems.append(f"Optimizer.name must be one of {known}, got {block.get('name')!r}")
        return result
    del block["name"]
    result.optimizer = {"kind": kind, "dialect": "paddleocr"}
    rates = block.pop("lr", None) or {}
    _regularizer(block.pop("regularizer", None), kind, result)
    _clip(block, result)
    _rest(block, kind, result)
    _schedule(rates, result)
    return result


def _regularizer(given: Mapping[str, Any] | None, kind: str, result: Converted) -> None:
    if not given:
        return
    name, factor = given.get("name"), float(given.get("factor", 0.0))
    if name in ("L2", "L2Decay"):
        result.optimizer["weight_decay"] = factor
    elif name in ("L1", "L1Decay") and kind != "adamw":
        result.optimizer["l1"] = factor
    else:
        result.problems.append(f"Optimizer.regularizer.name must be L1 or L2, got {name!r}")


def _clip(block: dict[str, Any], result: Converted) -> None:
    for theirs, kind in (("clip_norm", "norm"), ("clip_norm_global", "global_norm")):
        largest = block.pop(theirs, None)
        if largest is not None:
            result.optimizer["clip"] = {"kind": kind, "max": float(largest)}


def _rest(block: dict[str, Any], kind: str, result: Converted) -> None:
    fields = OPTIMIZERS[kind].model_fields
    for name, value in block.items():
        ours = RENAMED.get(name, name)
        if name == "lazy_mode":
            continue  # dense gradients, all that a job has, ignore it
        if (name in SAME or name in RENAMED) and ours in fields:
            number = fields[ours].annotation is float and value is not None
            result.optimizer[ours] = float(value) if number else value
        else:
            result.problems.append(f"Optimizer.{name} has no counterpart in {kind}, got {value!r}")


def _schedule(rates: Mapping[str, Any], result: Converted) -> None:
    try:
        result.schedule, result.optimizer["lr"] = schedule_of(rates, epochs=result.epochs)
    except NotConvertible as error:
        result.problems.append(str(error))
