"""Convert the ``lr:`` block of a PaddleOCR configuration to a schedule of dialect paddleocr."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Rates = dict[str, Any]
"""The fields of the block that are not converted yet; a builder removes the fields it converts."""
Spec = dict[str, Any]

TWO_STEP_FIRST_EPOCHS = 200
"""Length of the first part of TwoStepCosine, in epochs: a constant in PaddleOCR's code."""
SHAPES = {"cos": "cosine", "linear": "linear"}


class NotConvertible(Exception):
    """A configuration has no exact equivalent here; the text gives the reason."""


def schedule_of(block: Mapping[str, Any], *, epochs: float | None) -> tuple[Spec, float]:
    """
    Return the schedule that *block* describes, and the learning rate.

    Args:
        block: the block ``Optimizer.lr``.
        epochs: ``Global.epoch_num``, the length of the run; None if the file does not contain it.

    Raises:
        NotConvertible: *block* is not valid, no schedule is exactly equivalent to it, or the
            schedule depends on *epochs*, which is None.
    """
    rates = dict(block)
    # Without a name, PaddleOCR keeps learning_rate as it is.
    name = str(rates.pop("name", "Const"))
    build = _BUILDERS.get(name)
    if build is None:
        raise NotConvertible(f"Optimizer.lr.name {name} has no exactly equivalent schedule")
    try:
        warmup = float(rates.pop("warmup_epoch", 0) or 0)
        spec, lr = build(rates, Epochs(name, epochs))
    except KeyError as error:
        raise NotConvertible(f"Optimizer.lr.{error.args[0]} is required for {name}") from None
    except (TypeError, ValueError):
        raise NotConvertible(
            f"Optimizer.lr must hold numbers, or lists of them, for {name}, got {dict(block)!r}"
        ) from None
    # PaddleOCR's classes ignore unknown keywords: for a misspelt one they use the default.
    if rates:
        raise NotConvertible(f"Optimizer.lr.{', '.join(rates)}: not known for {name}")
    spec = {**spec, "dialect": "paddleocr"}
    if warmup:
        # The warmup rises from 0 to lr. The schedule proper begins after the warmup, so it ends
        # after the run. PaddleOCR's warmup ends at learning_rate, the first of `values`, or
        # max_lr: here all of these are lr.
        spec["warmup"] = {"length": of(warmup), "start": 0.0, "end": lr, "after": "delay"}
    return spec, lr


class Epochs:
    """The length of the run in epochs, for the schedules that depend on it."""

    def __init__(self, name: str, number: float | None) -> None:
        self._name, self._number = name, number

    def length(self) -> Spec:
        """Return the length as a duration, or raise `NotConvertible` if it is not known."""
        if self._number is None:
            raise NotConvertible(f"Global.epoch_num is required for {self._name}")
        return of(self._number)


def of(epochs: float) -> Spec:
    """Return a duration of *epochs* epochs."""
    return {"epochs": float(epochs)}


def _const(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    return {"kind": "constant"}, float(rates.pop("learning_rate"))


def _cosine(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    return {"kind": "cosine", "length": run.length()}, float(rates.pop("learning_rate"))


def _linear(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    # 0 by default, as in PaddleOCR's code; its docstring says 1e-4.
    power, end = float(rates.pop("power", 1.0)), float(rates.pop("end_lr", 0.0))
    return _polynomial(run, end, power), float(rates.pop("learning_rate"))


def _decay_learning_rate(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    rates.pop("end_lr", None)  # PaddleOCR accepts it and does not use it
    factor = float(rates.pop("factor", 0.9))
    return _polynomial(run, 0.0, factor), float(rates.pop("learning_rate"))


def _polynomial(run: Epochs, end: float, power: float) -> Spec:
    return {"kind": "polynomial", "length": run.length(), "end": end, "power": power}


def _step(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    # gamma's default is that of PaddleOCR's docstring: its code requires one.
    every, gamma = of(rates.pop("step_size")), float(rates.pop("gamma", 0.1))
    return {"kind": "step", "every": every, "gamma": gamma}, float(rates.pop("learning_rate"))


def _multi_step(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    milestones = [of(epoch) for epoch in rates.pop("milestones")]
    spec = {"kind": "multi_step", "milestones": milestones, "gamma": float(rates.pop("gamma", 0.1))}
    return spec, float(rates.pop("learning_rate"))


def _piecewise(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    # PaddleOCR ignores it for this schedule: the values are the learning rates themselves.
    rates.pop("learning_rate", None)
    boundaries = [of(epoch) for epoch in rates.pop("decay_epochs")]
    values = [float(value) for value in rates.pop("values")]
    return {"kind": "piecewise", "boundaries": boundaries, "values": values}, values[0]


def _cyclical_cosine(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    # Without the length of the run, which PaddleOCR passes on as T_max and does not use.
    spec = {"kind": "cyclical_cosine", "length": of(rates.pop("cycle"))}
    return spec, float(rates.pop("learning_rate"))


def _two_step_cosine(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    spec = {"kind": "two_step_cosine", "first": of(TWO_STEP_FIRST_EPOCHS), "length": run.length()}
    return spec, float(rates.pop("learning_rate"))


def _one_cycle(rates: Rates, run: Epochs) -> tuple[Spec, float]:
    shape = SHAPES[rates.pop("anneal_strategy", "cos")]
    three_phase = bool(rates.pop("three_phase", False))
    spec = {"kind": "one_cycle", "length": run.length(), "shape": shape, "three_phase": three_phase}
    return spec, float(rates.pop("max_lr"))


_BUILDERS: dict[str, Callable[[Rates, Epochs], tuple[Spec, float]]] = {
    "Const": _const,
    "Cosine": _cosine,
    "Linear": _linear,
    "DecayLearningRate": _decay_learning_rate,
    "Step": _step,
    "MultiStepDecay": _multi_step,
    "Piecewise": _piecewise,
    "CyclicalCosine": _cyclical_cosine,
    "TwoStepCosine": _two_step_cosine,
    "OneCycle": _one_cycle,
}
