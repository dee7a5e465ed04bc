"""What the frameworks share: reading arguments, and the forms of our specs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Params = dict[str, Any]
Spec = dict[str, Any]


class Translated(NamedTuple):
    """A spec and what it is put into."""

    spec: Spec
    lr: float
    steps_per_epoch: int = 1
    longer: int = 0
    """Steps that the run must have at least, whatever was recorded: a warmup must fit in."""

    def total_steps(self, recorded: int) -> int:
        """Return how long the run must be for the *recorded* steps."""
        return max(recorded, self.longer)


SHAPES = {"cos": "cosine", "linear": "linear"}


def take(params: Params, *, ignored: tuple[str, ...] = (), **names: Any) -> tuple[Any, ...]:
    """Return the named values of *params*, or their defaults; ... has none. Nothing may be left."""
    left = set(params) - set(names) - set(ignored)
    assert not left, f"parameters without a translation: {sorted(left)}"
    missing = [name for name, default in names.items() if default is ... and name not in params]
    assert not missing, f"parameters that must be given: {missing}"
    return tuple(params.get(name, default) for name, default in names.items())


def without(params: Params, *names: str) -> Params:
    return {name: value for name, value in params.items() if name not in names}


def one(value: Any) -> float:
    """Return the first group's value."""
    return float(value[0] if isinstance(value, list) else value)


def nonzero(name: str, steps: int) -> Spec:
    """Return the duration, or nothing for 0: torch misses a change at the step it starts at."""
    return {name: steps} if steps else {}


def of_lambda(source: Any) -> Callable[[Any], Any]:
    """Return the function that a recorded lambda's source means."""
    text = source[0] if isinstance(source, list) else source
    return eval(text, {"math": math, "np": np})  # type: ignore[no-any-return]


def listed(factor: Callable[[Any], Any], base: float, steps: int, *, single: bool = False) -> Spec:
    if single:
        lrs = [np.float32(base) * np.float32(factor(np.float32(t))) for t in range(steps)]
    else:
        lrs = [base * factor(t) for t in range(steps)]
    return {"kind": "values", "values": [float(lr) for lr in lrs]}


def linear(start: float, end: float, length: int) -> Spec:
    fractions = {"start_fraction": float(start), "end_fraction": float(end)}
    return {"kind": "linear", "length": length, **fractions}


def polynomial(length: int, end: float, power: float, cycle: bool) -> Spec:
    spec = {"kind": "polynomial", "length": length, "end": float(end)}
    return {**spec, "power": float(power), "cycle": cycle}


def piecewise(boundaries: list[int], values: list[float]) -> Spec:
    if not boundaries:
        return {"kind": "values", "values": [float(values[0])]}
    return {
        "kind": "piecewise",
        "boundaries": [int(b) for b in boundaries],
        "values": [float(v) for v in values],
    }


def decay(kind: str, rate: float, every: int, stair: bool) -> Spec:
    return {"kind": kind, "rate": float(rate), "every": every, "staircase": stair}


def restarts(first: int, t_mult: int, low: float) -> Spec:
    return {"kind": "cosine_restarts", "length": first, "t_mul": float(t_mult), "end": float(low)}


def cyclic(
    base: float,
    up: int,
    down: int | None,
    *,
    mode: str,
    gamma: float,
    scale: str | None,
    per: str,
    steps: int,
) -> Spec:
    spec = {"kind": "cyclic", "base": float(base), "up": up, "down": down, "gamma": float(gamma)}
    if scale is None:
        return {**spec, "mode": mode}
    function = of_lambda(scale)
    if per == "cycle":
        numbers = range(1, steps // (up + (down or up)) + 2)
        scales = [float(function(i)) for i in numbers]
    else:
        scales = [float(function(t)) for t in range(steps)]
    scale_per = "cycle" if per == "cycle" else "step"
    return {**spec, "mode": "scales", "scales": scales, "scale_per": scale_per}


def plateau(params: Params, *, eps: str) -> Spec:
    params = {("eps" if name == eps else name): value for name, value in params.items()}
    mode, factor, patience, threshold, threshold_mode, cooldown, low, least = take(
        params,
        mode="min",
        factor=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0.0,
        eps=1e-8,
    )
    return {
        "kind": "plateau",
        "mode": mode,
        "factor": float(factor),
        "patience": patience,
        "threshold": float(threshold),
        "threshold_mode": threshold_mode,
        "cooldown": cooldown,
        "min_lr": one(low),
        "eps": float(least),
    }


def behind(found: Translated, length: int, start: float, end: float, steps: int) -> Translated:
    """Return *found* behind a warmup that delays it."""
    warmup = {"length": length, "start": start, "end": end, "after": "delay"}
    total = max(steps, length + 1)
    spec = found.spec
    if spec["kind"] == "values":
        spec = {**spec, "values": (spec["values"] * 2)[:total]}
    if "warmup" in spec:
        spec = {"kind": "clamp", "schedule": spec}
    return Translated({**spec, "warmup": warmup}, found.lr, longer=max(total, found.longer))


DECAYS = {
    "NaturalExpDecay": "natural_exponential",
    "InverseTimeDecay": "inverse_time",
    "ExponentialDecay": "exponential",
}
