"""transformers, whose schedules are functions named get_*_schedule*."""

from __future__ import annotations

from tests.support.optcore.schedule_words.shared import Params, Spec, Translated, plateau, take

SHAPES = {"linear": "linear", "cosine": "cosine", "1-sqrt": "one_minus_sqrt"}


def transformers(name: str, params: Params) -> Translated:
    params = dict(params)
    lr = float(params.pop("lr"))
    spec = {"dialect": "transformers", **spec_of(name.removeprefix("get_"), params)}
    if spec["kind"] in ("shift", "greedy"):
        del spec["dialect"]
    return Translated(spec, lr)


def spec_of(name: str, params: Params) -> Spec:
    match name:
        case "constant_schedule":
            take(params)
            return {"kind": "constant"}
        case "constant_schedule_with_warmup":
            return {"kind": "constant", **warmup(*take(params, num_warmup_steps=...))}
        case "linear_schedule_with_warmup":
            steps, length = take(params, num_warmup_steps=..., num_training_steps=...)
            return {"kind": "linear", "length": length, **warmup(steps)}
        case "cosine_with_hard_restarts_schedule_with_warmup":
            steps, length, cycles = take(
                params, num_warmup_steps=..., num_training_steps=..., num_cycles=1
            )
            spec = {"kind": "cosine_restarts", "length": length, "num_cycles": float(cycles)}
            return {**spec, **warmup(steps)}
        case "polynomial_decay_schedule_with_warmup":
            steps, length, end, power = take(
                params, num_warmup_steps=..., num_training_steps=..., lr_end=1e-7, power=1.0
            )
            spec = {"kind": "polynomial", "length": length, "end": float(end)}
            return {**spec, "power": float(power), **warmup(steps)}
        case "inverse_sqrt_schedule":
            steps, timescale = take(params, num_warmup_steps=..., timescale=None)
            own = {} if timescale is None else {"timescale": timescale}
            return {"kind": "inverse_sqrt", **own, **warmup(steps)}
        case "wsd_schedule":
            return wsd(params)
        case "greedy_schedule":
            return greedy(params)
        case "reduce_on_plateau_schedule":
            return plateau(params, eps="eps")
        case _:
            return cosine(name, params)


def cosine(name: str, params: Params) -> Spec:
    steps, length, cycles, low, rate, first = take(
        params,
        num_warmup_steps=...,
        num_training_steps=...,
        num_cycles=0.5,
        min_lr=None,
        min_lr_rate=None,
        warmup_lr_rate=None,
    )
    spec: Spec = {"kind": "cosine", "length": length, "num_cycles": float(cycles)}
    if low is not None:
        spec["end"] = float(low)
    if rate is not None:
        spec["end_fraction"] = float(rate)
    if name.endswith("_lr_rate"):
        return one_step_ahead(spec, steps, first)
    assert name in (
        "cosine_schedule_with_warmup",
        "cosine_with_min_lr_schedule_with_warmup",
    ), name
    return {**spec, **warmup(steps)}


def one_step_ahead(spec: Spec, steps: int, first: float | None) -> Spec:
    """Return the cosine that has its peak at the last step of the warmup, and is delayed by it."""
    spec = {**spec, "length": max(1, spec["length"] - steps)}
    if steps == 0:
        return {"kind": "shift", "by": 1, "schedule": {**spec, "dialect": "transformers"}}
    fraction = 1 / steps if first is None else float(first)
    if steps == 1:
        return {
            **spec,
            "warmup": {"length": 1, "start_fraction": fraction, "after": "overlap"},
        }
    rise = {"length": steps - 1, "start_fraction": fraction, "after": "delay"}
    return {**spec, "warmup": rise}


def wsd(params: Params) -> Spec:
    steps, decay, length, stable, rise, fall, ratio, cycles = take(
        params,
        num_warmup_steps=...,
        num_decay_steps=...,
        num_training_steps=None,
        num_stable_steps=None,
        warmup_type="linear",
        decay_type="cosine",
        min_lr_ratio=0,
        num_cycles=0.5,
    )
    whole = length if stable is None else steps + stable + decay
    spec = {"kind": "wsd", "length": whole, "decay": decay, "end_fraction": float(ratio)}
    spec["shape"] = SHAPES[fall]
    if fall == "cosine":
        spec["num_cycles"] = float(cycles)
    found = warmup(steps)
    if found:
        found["warmup"]["shape"] = SHAPES[rise]
    return {**spec, **found}


def greedy(params: Params) -> Spec:
    smooth, window = params.pop("smooth", False), params.pop("window_size", 50)
    params.pop("verbose", None)
    words = {"warmup": "rest", "reset_start": "reset_after"}
    counts = ("patience", "cooldown", "rest", "reset_after")
    spec: Spec = {words.get(name, name): value for name, value in params.items()}
    known = {"mode", "factor", "threshold", "threshold_mode", "min_lr", "max_lr", "eps", *counts}
    assert set(spec) <= known, spec
    spec = {
        name: value if name in counts or isinstance(value, str) else float(value)
        for name, value in spec.items()
    }
    return {"kind": "greedy", **spec, "window": window if smooth else 1}


def warmup(steps: int) -> Spec:
    return {"warmup": {"length": steps}} if steps else {}
