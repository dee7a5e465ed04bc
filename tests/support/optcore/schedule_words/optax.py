"""optax, which computes most schedules in float32 even with jax_enable_x64."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from tests.support.optcore.schedule_words.shared import Params, Spec, Translated, take

ABSOLUTE = ("end", "start")
"""Fields whose values are learning rates."""


def optax(name: str, params: Params, *, single: bool) -> Translated:
    spec, lr = words_of(name, dict(params), single=single)
    return Translated(spec, lr)


def words_of(  # noqa: PLR0912 - one per function
    name: str, params: Params, *, single: bool
) -> tuple[Spec, float]:
    both: Spec = {"dialect": "optax", "precision": "float32" if single else "float64"}
    match name:
        case "constant_schedule":
            (value,) = take(params, value=...)
            return {"kind": "constant", **both}, float(value)
        case "linear_schedule" | "polynomial_schedule":
            return fall(name, params, both)
        case "cosine_decay_schedule":
            lr, length, alpha, exponent = take(
                params, init_value=..., decay_steps=..., alpha=0.0, exponent=1.0
            )
            spec = {"kind": "cosine", "length": length, "exponent": float(exponent)}
            return {**spec, "end_fraction": float(alpha), **both}, float(lr)
        case "exponential_decay":
            lr = params.pop("init_value")
            return exponential(params, both), float(lr)
        case "warmup_constant_schedule":
            start, lr, steps = take(params, init_value=..., peak_value=..., warmup_steps=...)
            if steps <= 0 and not single:  # Python's own number, which never gets to its peak
                return {"kind": "constant", **both}, float(start)
            rise = {"length": max(0, steps), "start": float(start)}
            return {"kind": "constant", **both, "warmup": rise}, float(lr)
        case "warmup_cosine_decay_schedule":
            start, lr, steps, length, end, exponent = take(
                params,
                init_value=...,
                peak_value=...,
                warmup_steps=...,
                decay_steps=...,
                end_value=0.0,
                exponent=1.0,
            )
            spec = {"kind": "cosine", "length": length, "end": float(end), **both}
            return {**spec, "exponent": float(exponent), **warmup(steps, start)}, float(lr)
        case "warmup_exponential_decay_schedule":
            start, lr = params.pop("init_value"), params.pop("peak_value")
            steps = params.pop("warmup_steps")
            return {**exponential(params, both), **warmup(steps, start)}, float(lr)
        case "piecewise_constant_schedule" | "piecewise_interpolate_schedule":
            return piecewise(params, both)
        case "linear_onecycle_schedule" | "cosine_onecycle_schedule":
            return one_cycle(name, params, both)
        case "sgdr_schedule":
            (cycles,) = take(params, cosine_kwargs=...)
            parts = [{"schedule": "warmup_cosine_decay_schedule", "params": c} for c in cycles]
            ends = list(accumulate(c["decay_steps"] for c in cycles))
            return chain(parts, ends[:-1], single=single)
        case "join_schedules":
            return chain(*take(params, schedules=..., boundaries=...), single=single)
        case "contrib.reduce_on_plateau":
            return {**plateau(params), **both}, 1.0
        case _:
            raise NotImplementedError(name)


def fall(name: str, params: Params, both: Spec) -> tuple[Spec, float]:
    lr, end, power, length, begin = take(
        {"power": 1.0, **params},
        init_value=...,
        end_value=...,
        power=...,
        transition_steps=...,
        transition_begin=0,
    )
    if length <= 0 and both["precision"] == "float64":  # Python's own number
        return {"kind": "constant", **both}, float(lr)
    spec = {"length": max(0, length), "begin": max(0, begin), "dialect": "optax"}
    if name == "linear_schedule" and lr == 0 and end > 0:
        # As a part of something else, a schedule has an lr that is not 0.
        rise = {"kind": "linear", "start_fraction": 0.0, "end_fraction": 1.0}
        return {**rise, **spec}, float(end)
    spec = {**spec, "end": float(end)}
    if name == "linear_schedule":
        return {"kind": "linear", **spec}, float(lr)
    return {"kind": "polynomial", **spec, "power": float(power)}, float(lr)


def exponential(params: Params, both: Spec) -> Spec:
    every, rate, begin, stair, end = take(
        params,
        transition_steps=...,
        decay_rate=...,
        transition_begin=0,
        staircase=False,
        end_value=None,
    )
    if (every <= 0 or rate == 0) and both["precision"] == "float64":  # Python's own number
        return {"kind": "constant", **both}
    spec = {"kind": "exponential", "dialect": "optax", "every": max(0, every), "rate": float(rate)}
    last = {} if end is None else {"end": float(end)}
    return {**spec, "begin": max(0, begin), "staircase": stair, **last}


def piecewise(params: Params, both: Spec) -> tuple[Spec, float]:
    lr, shape, scales = take(
        params, init_value=..., interpolate_type="none", boundaries_and_scales=None
    )
    pairs = sorted((int(step), scale) for step, scale in (scales or {}).items())
    while pairs and pairs[0][0] <= 0:  # over before the first step
        lr *= pairs.pop(0)[1]
    if not pairs:
        return {"kind": "constant", **both}, float(lr)
    spec: Spec = {"kind": "piecewise", "boundaries": [step for step, _ in pairs]}
    values = accumulate([lr, *(scale for _, scale in pairs)], lambda a, b: a * b)
    spec["values"] = [float(value) for value in values]
    return {**spec, "interpolation": shape, **both}, float(lr)


def one_cycle(name: str, params: Params, both: Spec) -> tuple[Spec, float]:
    three: Params = {"pct_final": 0.85} if name == "linear_onecycle_schedule" else {}
    length, lr, start, div, last, *final = take(
        params,
        transition_steps=...,
        peak_value=...,
        pct_start=0.3,
        div_factor=25.0,
        final_div_factor=1e4,
        **three,
    )
    spec: Spec = {"kind": "one_cycle", "length": length, "pct_start": float(start)}
    spec = {**spec, "div_factor": float(div), "final_div_factor": float(last), **both}
    if final:
        return {
            **spec,
            "shape": "linear",
            "three_phase": True,
            "pct_final": float(final[0]),
        }, float(lr)
    return {**spec, "shape": "cosine"}, float(lr)


def chain(parts: list[Params], boundaries: list[int], *, single: bool) -> tuple[Spec, float]:
    found = [words_of(part["schedule"], dict(part["params"]), single=single) for part in parts]
    base = next((lr for _, lr in found if lr), 1.0)
    schedules = [at_lr(spec, lr, base) for spec, lr in found]
    return {"kind": "chain", "schedules": schedules, "boundaries": boundaries}, base


def at_lr(spec: Spec, lr: float, base: float) -> Spec:
    """Return *spec*, which was meant for *lr*, as part of something that has *base*."""
    if lr == base or spec["kind"] == "piecewise":
        return spec
    if lr == 0:
        assert spec["kind"] == "constant", spec
        return {"kind": "scale", "factor": 0.0, "schedule": spec}
    return {"kind": "scale", "factor": lr / base, "schedule": scaled(spec, base / lr)}


def scaled(spec: Spec, factor: float) -> Spec:
    found: Spec = {}
    for name, value in spec.items():
        if name == "warmup":
            found[name] = scaled(value, factor)
        else:
            found[name] = value * factor if name in ABSOLUTE and value is not None else value
    return found


def plateau(params: Params) -> Spec:
    factor, patience, rtol, atol, cooldown, size, low = take(
        params,
        factor=0.1,
        patience=10,
        rtol=1e-4,
        atol=0.0,
        cooldown=0,
        accumulation_size=1,
        min_scale=0.0,
    )
    return {
        "kind": "plateau",
        "factor": float(factor),
        "patience": patience,
        "threshold": float(rtol),
        "threshold_abs": float(atol),
        "cooldown": cooldown,
        "mean_of": size,
        "min_lr": float(low),
    }


def warmup(steps: int, start: Any) -> Spec:
    return {"warmup": {"length": steps, "start": float(start)}} if steps > 0 else {}
