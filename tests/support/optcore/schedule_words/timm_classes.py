"""timm's scheduler classes."""

from __future__ import annotations

import math
from typing import Any

from tests.support.optcore.schedule_words.shared import Params, Spec, take

NOISE: dict[str, Any] = {
    "noise_range_t": None,
    "noise_type": "normal",
    "noise_pct": 0.67,
    "noise_std": 1.0,
    "noise_seed": None,
}
WARMUP: dict[str, Any] = {"warmup_t": 0, "warmup_lr_init": 0.0}
CYCLES: dict[str, Any] = {"cycle_mul": 1.0, "cycle_decay": 1.0, "cycle_limit": 1}
IGNORED = ("t_in_epochs", "initialize")
"""What says how a class is driven, and not what it computes."""

FALLS = {"linear": "linear", "1-sqrt": "one_minus_sqrt", "cosine": "cosine", "power": "power",
         "exp": "exponential"}  # fmt: skip


def of_class(name: str, params: Params, epochs: float | None = None) -> Spec:
    """
    Return the spec of the class *name*.

    Args:
        name: the name of the class.
        params: its arguments.
        epochs: the number of steps in an epoch, by which a duration that is no whole number of
            steps was multiplied; None for 1.
    """
    noise = {key: params.get(key, default) for key, default in NOISE.items()}
    params = {key: value for key, value in params.items() if key not in NOISE}
    spec = plain(name, params, epochs)
    if name == "PlateauLRScheduler":
        return {**spec, **({"noise": found} if (found := noise_of(noise)) else {})}
    found = noise_of(noise)
    return {"kind": "noise", "dialect": "timm", "schedule": spec, **found} if found else spec


def plain(name: str, params: Params, per_epoch: float | None) -> Spec:
    match name:
        case "CosineLRScheduler" | "TanhLRScheduler" | "PolyLRScheduler":
            return falling(name, params)
        case "StepLRScheduler":
            every, rate, length, start, prefix = take(
                params, decay_t=..., decay_rate=1.0, **WARMUP, warmup_prefix=True, ignored=IGNORED
            )
            spec: Spec = {"kind": "step", "every": duration(every, per_epoch), "gamma": float(rate)}
        case "MultiStepLRScheduler":
            milestones, rate, length, start, prefix = take(
                params, decay_t=..., decay_rate=1.0, **WARMUP, warmup_prefix=True, ignored=IGNORED
            )
            spec = {"kind": "multi_step", "milestones": milestones, "gamma": float(rate)}
        case "WSDLRScheduler":
            return wsd(params)
        case "PlateauLRScheduler":
            return plateau(params)
        case _:
            raise NotImplementedError(name)
    return {**spec, "dialect": "timm", **warmup(length, start, prefix=prefix)}


def falling(name: str, params: Params) -> Spec:
    own = {
        "CosineLRScheduler": {"k_decay": 1.0},
        "TanhLRScheduler": {"lb": -7.0, "ub": 3.0},
        "PolyLRScheduler": {"power": 0.5, "k_decay": 1.0},
    }[name]
    shared = {**CYCLES, **WARMUP, "warmup_prefix": False, "lr_min": 0.0}
    t, mul, decay, limit, length, start, prefix, low, *rest = take(
        params, t_initial=..., **shared, **own, ignored=IGNORED
    )
    ours = {"lb": "lower", "ub": "upper"}
    fields = {ours.get(key, key): float(v) for key, v in zip(own, rest, strict=True)}
    kind = {"CosineLRScheduler": "cosine", "TanhLRScheduler": "tanh"}.get(name, "polynomial")
    spec: Spec = {"kind": kind, "dialect": "timm", "end": float(low), **fields}
    rise = warmup(length, start, prefix=prefix)
    if limit == 1:
        return {**spec, "length": t, **rise}
    return {
        "kind": "cycle",
        "dialect": "timm",
        "schedule": spec,
        "length": t,
        "t_mul": float(mul),
        "factor": float(decay),
        "floor": float(low),
        "cycles": limit,
        **rise,
    }


def wsd(params: Params) -> Spec:
    shape, stable = params.get("decay_fn", "1-sqrt"), params.get("stable_fn", "constant")
    t, fall, low, scale, power, decay_power, ratio, length, start = take(
        params,
        t_initial=...,
        decay_t=...,
        lr_min=0.0,
        stable_timescale=None,
        stable_power=0.5,
        decay_power=0.5,
        decay_ratio=0.1,
        **WARMUP,
        ignored=(*IGNORED, "stable_fn", "decay_fn"),
    )
    spec: Spec = {
        "kind": "wsd",
        "dialect": "timm",
        "length": t,
        "decay": fall,
        "shape": FALLS[shape],
        "end": float(low),
        **warmup(length, start, prefix=True),
    }
    if shape == "power":
        spec["decay_power"] = float(decay_power)
    if shape == "exp":
        spec["decay_ratio"] = float(ratio)
    if stable != "constant":
        spec["stable_power"] = 0.5 if stable == "rsqrt" else float(power)
        spec["timescale"] = length if scale is None else duration(scale, None)
    return spec


def plateau(params: Params) -> Spec:
    rate, patience, threshold, cooldown, length, start, low, mode = take(
        params,
        decay_rate=0.1,
        patience_t=10,
        threshold=1e-4,
        cooldown_t=0,
        **WARMUP,
        lr_min=0.0,
        mode="max",
        ignored=IGNORED,
    )
    return {
        "kind": "plateau",
        "dialect": "timm",
        "factor": float(rate),
        "patience": patience,
        "threshold": float(threshold),
        "cooldown": cooldown,
        "min_lr": float(low),
        "mode": mode,
        **warmup(length, start, prefix=False),
    }


def warmup(length: float, start: float, *, prefix: bool) -> Spec:
    if not length:
        return {}
    after = "delay" if prefix else "overlap"
    rise = {"length": duration(length, None), "start": float(start), "after": after}
    return {"warmup": rise}


def duration(steps: float, per_epoch: float | None) -> int | Spec:
    """Return *steps* as a duration; a float has been multiplied by *per_epoch*, or by 1."""
    if isinstance(steps, int):
        return steps
    return {"epochs": steps / (per_epoch or 1)}


def noise_of(noise: Params) -> Spec:
    """Return begin, end and the rest of our noise, or nothing where timm has none."""
    moments = noise["noise_range_t"]
    if moments is None:
        return {}
    begin, end = moments if isinstance(moments, (list, tuple)) else (moments, None)
    if end is not None and math.ceil(end) <= math.ceil(begin):
        return {}
    seed = 42 if noise["noise_seed"] is None else noise["noise_seed"]
    spec: Spec = {"limit": float(noise["noise_pct"]), "std": float(noise["noise_std"])}
    spec |= {"seed": seed, "distribution": noise["noise_type"]}
    # t >= 16.8 is t >= 17.
    for key, moment in (("begin", begin), ("end", end)):
        if moment is not None and math.ceil(moment) > 0:
            spec[key] = math.ceil(moment)
    return spec if end is None or "end" in spec else {}
