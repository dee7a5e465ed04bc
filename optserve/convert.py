"""From PaddleOCR's ``Optimizer:`` block to a job's optimizer and schedule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from optcore.spec.optimizers import OPTIMIZERS
from optcore.spec.schedules import SCHEDULES

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
    rates = dict(block.pop("lr", None) or {})
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


def _schedule(rates: dict[str, Any], result: Converted) -> None:
    name = rates.pop("name", "Const")
    warmup = float(rates.pop("warmup_epoch", 0) or 0)
    if "learning_rate" in rates:
        result.optimizer["lr"] = float(rates.pop("learning_rate"))
    elif name == "Piecewise" and rates.get("values"):
        result.optimizer["lr"] = float(rates["values"][0])
    build = _SCHEDULES.get(name)
    schedule = build(rates, result) if build is not None else None
    if schedule is None or schedule["kind"] not in SCHEDULES:
        result.problems.append(f"Optimizer.lr.name {name} has no schedule that is exactly the same")
        return
    if rates:
        result.problems.append(f"Optimizer.lr.{', '.join(rates)}: not known for {name}")
    if warmup:
        # From 0 to lr, and the schedule proper begins after it: its end moves behind the run's.
        schedule["warmup"] = {"length": {"epochs": warmup}, "start": 0.0, "after": "delay"}
    result.schedule = schedule


def _const(rates: dict[str, Any], result: Converted) -> dict[str, Any]:
    del rates, result
    return {"kind": "constant"}


def _cosine(rates: dict[str, Any], result: Converted) -> dict[str, Any]:
    del rates, result
    return {"kind": "cosine"}


def _linear(rates: dict[str, Any], result: Converted) -> dict[str, Any]:
    del result
    power, end = float(rates.pop("power", 1.0)), float(rates.pop("end_lr", 0.0))
    if power == 1:
        return {"kind": "linear", "end": end}
    return {"kind": "polynomial", "power": power, "end": end}


def _step(rates: dict[str, Any], result: Converted) -> dict[str, Any]:
    del result
    every, gamma = rates.pop("step_size"), float(rates.pop("gamma", 0.1))
    return {"kind": "step", "every": {"epochs": float(every)}, "gamma": gamma}


def _piecewise(rates: dict[str, Any], result: Converted) -> dict[str, Any]:
    del result
    boundaries = [{"epochs": float(epoch)} for epoch in rates.pop("decay_epochs")]
    return {
        "kind": "piecewise",
        "boundaries": boundaries,
        "values": [float(value) for value in rates.pop("values")],
    }


def _multi_step(rates: dict[str, Any], result: Converted) -> dict[str, Any]:
    gamma, lr = float(rates.pop("gamma", 0.1)), result.optimizer.get("lr", 0.001)
    milestones = rates.pop("milestones")
    return {
        "kind": "piecewise",
        "boundaries": [{"epochs": float(epoch)} for epoch in milestones],
        "values": [lr * gamma**i for i in range(len(milestones) + 1)],
    }


_SCHEDULES = {
    "Const": _const,
    "Cosine": _cosine,
    "Linear": _linear,
    "Polynomial": _linear,
    "Step": _step,
    "Piecewise": _piecewise,
    "MultiStepDecay": _multi_step,
}
