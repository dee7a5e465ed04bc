"""
Convert the arguments of transformers' get_scheduler to a schedule (5.24, optimization.py).

Every schedule in transformers is a factor by which lr is multiplied. During the warmup, the factor
rises on a line from 0. Then it follows a curve over the remaining steps of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
Kwargs = dict[str, Any]
"""lr_scheduler_kwargs; a builder removes what it reads."""
OURS = {"dialect": "transformers"}
DEFAULT_TIMESCALE = 10_000
WITHOUT_ARGUMENTS = frozenset({"constant", "constant_with_warmup"})
"""Schedules to which get_scheduler does not pass lr_scheduler_kwargs."""
SHAPES = {
    "linear": "linear",
    "cosine": "cosine",
    "1-sqrt": "one_minus_sqrt",
}


class NotConvertible(ValueError):
    """A schedule of transformers equals no schedule of a job; the message says why."""


@dataclass(frozen=True)
class Warmup:
    """
    The warmup before a schedule: the rise of lr on a line.

    Attributes:
        length: length of the warmup: steps, or a share of the run; None for no warmup.
        lr: lr at the end of the warmup.
    """

    length: int | Spec | None
    lr: float

    def spec(self, after: str, start: float = 0.0) -> Spec:
        """
        Return the field ``warmup`` of a schedule's spec, in a mapping that is empty for no warmup.

        Args:
            after: how the schedule continues after the warmup: the value of ``warmup.after``.
            start: share of lr at which the warmup begins: the value of ``warmup.start``.
        """
        if self.length is None:
            return {}
        return {"warmup": {"length": self.length, "start": start, "after": after}}


def schedule_of(name: str, kwargs: Mapping[str, Any], warmup: Warmup) -> Spec:
    """
    Return the spec of the schedule that transformers calls *name*, with the arguments *kwargs*.

    Raises:
        NotConvertible: no schedule of a job gives the same values.
    """
    build = _BUILDERS.get(name)
    if build is None:
        raise NotConvertible(f"must be one of {', '.join(_BUILDERS)}")
    given = {} if name in WITHOUT_ARGUMENTS else dict(kwargs)
    spec = build(given, warmup)
    if given:
        raise NotConvertible(f"does not take {', '.join(given)} in lr_scheduler_kwargs")
    return spec


def _linear(kwargs: Kwargs, warmup: Warmup) -> Spec:
    return {"kind": "linear", **OURS, **warmup.spec("compress")}


def _cosine(kwargs: Kwargs, warmup: Warmup) -> Spec:
    return {"kind": "cosine", **OURS, **_cycles(kwargs), **warmup.spec("compress")}


def _cycles(kwargs: Kwargs) -> Spec:
    cycles = float(kwargs.pop("num_cycles", 0.5))
    return {} if cycles == 0.5 else {"num_cycles": cycles}  # noqa: PLR2004  half a wave


def _half_a_wave(kwargs: Kwargs) -> None:
    cycles = float(kwargs.pop("num_cycles", 0.5))
    if cycles != 0.5:  # noqa: PLR2004  the default of transformers
        raise NotConvertible(f"needs num_cycles 0.5 in lr_scheduler_kwargs, which has {cycles}")


def _restarts(kwargs: Kwargs, warmup: Warmup) -> Spec:
    cycles = float(kwargs.pop("num_cycles", 1))
    spec = {"kind": "cosine_restarts", **OURS, "num_cycles": cycles}
    return spec | warmup.spec("compress")


def _polynomial(kwargs: Kwargs, warmup: Warmup) -> Spec:
    end, power = float(kwargs.pop("lr_end", 1e-7)), float(kwargs.pop("power", 1.0))
    spec = {"kind": "polynomial", **OURS, "end": end, "power": power}
    return spec | warmup.spec("compress")


def _constant(kwargs: Kwargs, warmup: Warmup) -> Spec:
    return {"kind": "constant"}


def _constant_with_warmup(kwargs: Kwargs, warmup: Warmup) -> Spec:
    return {"kind": "constant", **warmup.spec("delay")}


def _inverse_sqrt(kwargs: Kwargs, warmup: Warmup) -> Spec:
    given = kwargs.pop("timescale", None)
    timescale = int(given) if given is not None else warmup.length or DEFAULT_TIMESCALE
    if not isinstance(timescale, int):
        raise NotConvertible("needs timescale in lr_scheduler_kwargs, or a warmup in steps")
    return {"kind": "inverse_sqrt", "timescale": timescale, **warmup.spec("delay")}


def _min_lr(kwargs: Kwargs, warmup: Warmup) -> Spec:
    cycles = _cycles(kwargs)
    given, rate = kwargs.pop("min_lr", None), kwargs.pop("min_lr_rate", None)
    if (given is None) == (rate is None):
        raise NotConvertible("needs either min_lr or min_lr_rate in lr_scheduler_kwargs")
    end = {"end": float(given)} if given is not None else {"end_fraction": float(rate)}
    return {"kind": "cosine", **OURS, **cycles, **end, **warmup.spec("compress")}


def _stable(kwargs: Kwargs, warmup: Warmup) -> Spec:
    if "num_decay_steps" not in kwargs:
        raise NotConvertible("needs num_decay_steps in lr_scheduler_kwargs")
    rise = kwargs.pop("warmup_type", "linear")
    if rise != "linear":
        raise NotConvertible(f"needs warmup_type linear in lr_scheduler_kwargs, which has {rise!r}")
    _half_a_wave(kwargs)
    fall = kwargs.pop("decay_type", "cosine")
    shape = SHAPES.get(fall)
    if shape is None:
        known = " or ".join(SHAPES)
        raise NotConvertible(f"needs decay_type {known} in lr_scheduler_kwargs, which has {fall!r}")
    decay, ratio = int(kwargs.pop("num_decay_steps")), float(kwargs.pop("min_lr_ratio", 0.0))
    spec = {"kind": "wsd", "decay": decay, "shape": shape, "end_fraction": ratio}
    stable = kwargs.pop("num_stable_steps", None)
    if stable is not None:
        if isinstance(warmup.length, dict):
            raise NotConvertible("needs a warmup in steps if num_stable_steps is given")
        spec["length"] = (warmup.length or 0) + int(stable) + decay
    return spec | warmup.spec("overlap", start=warmup.lr * ratio)


_BUILDERS: dict[str, Callable[[Kwargs, Warmup], Spec]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _restarts,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _min_lr,
    "warmup_stable_decay": _stable,
}
