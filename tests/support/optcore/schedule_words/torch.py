"""torch, and mindspore.experimental, which is torch in float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import optcore
from tests.support.optcore.schedule_words.shared import (
    SHAPES,
    Params,
    Spec,
    Translated,
    cyclic,
    linear,
    listed,
    nonzero,
    of_lambda,
    one,
    plateau,
    restarts,
    take,
    without,
)


def torch_schedule(  # noqa: PLR0912 - one per class
    name: str, params: Params, base: float, steps: int, *, single: bool = False
) -> Translated:
    dialect = {"dialect": "torch", "precision": "float32" if single else "float64"}
    lr = base
    spec: Spec
    match name:
        case "LambdaLR":
            (factor,) = take(params, lr_lambda=...)
            return Translated(listed(of_lambda(factor), base, steps, single=single), lr)
        case "MultiplicativeLR":
            (factor,) = take(params, lr_lambda=...)
            factors = [float(of_lambda(factor)(t)) for t in range(1, max(2, steps))]
            spec = {"kind": "multiplicative", "factors": factors}
        case "StepLR":
            size, gamma = take(params, step_size=..., gamma=0.1)
            spec = {"kind": "step", "every": size, "gamma": float(gamma)}
        case "MultiStepLR":
            milestones, gamma = take(params, milestones=..., gamma=0.1)
            spec = {"kind": "multi_step", "milestones": sorted(milestones), "gamma": float(gamma)}
        case "ConstantLR":
            factor, total = take(params, factor=1 / 3, total_iters=5)
            spec = {"kind": "constant", "factor": float(factor), **nonzero("length", total)}
        case "LinearLR":
            start, end, total = take(params, start_factor=1 / 3, end_factor=1.0, total_iters=5)
            if total == 0:  # never gets to its first step
                spec = {"kind": "constant", "factor": float(start)}
            else:
                spec = linear(start, end, total)
        case "ExponentialLR":
            (gamma,) = take(params, gamma=...)
            spec = {"kind": "exponential", "rate": float(gamma)}
        case "PolynomialLR":
            total, power = take(params, total_iters=5, power=1.0)
            spec = {"kind": "polynomial", "length": total, "power": float(power)}
        case "CosineAnnealingLR":
            length, low = take(params, T_max=..., eta_min=0.0)
            spec = {"kind": "cosine", "length": length, "end": float(low)}
        case "CosineAnnealingWarmRestarts":
            spec = restarts(*take(params, T_0=..., T_mult=1, eta_min=0.0))
        case "OneCycleLR":
            spec, lr = torch_one_cycle(params)
        case "CyclicLR":
            spec, lr = torch_cyclic(params, steps)
        case "SequentialLR":
            schedulers, milestones = take(params, schedulers=..., milestones=...)
            return sequential(schedulers, milestones, base, steps, single=single)
        case "ChainedScheduler":
            (schedulers,) = take(params, schedulers=...)
            return chained(schedulers, base, steps, single=single)
        case "ReduceLROnPlateau":
            spec = plateau(params, eps="eps")
        case _:
            raise NotImplementedError(name)
    return Translated({**spec, **dialect}, lr)


def torch_one_cycle(params: Params) -> tuple[Spec, float]:
    peak, total, epochs, per_epoch, pct, shape, div, final, three = take(
        params,
        max_lr=...,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
        ignored=("cycle_momentum", "base_momentum", "max_momentum"),
    )
    spec = {
        "kind": "one_cycle",
        "length": total or epochs * per_epoch,
        "pct_start": float(pct),
        "shape": SHAPES[shape],
        "div_factor": float(div),
        "final_div_factor": float(final),
        "three_phase": three,
    }
    return spec, one(peak)


def torch_cyclic(params: Params, steps: int) -> tuple[Spec, float]:
    base, peak, up, down, mode, gamma, scale, per = take(
        params,
        base_lr=...,
        max_lr=...,
        step_size_up=2000,
        step_size_down=None,
        mode="triangular",
        gamma=1.0,
        scale_fn=None,
        scale_mode="cycle",
        ignored=("cycle_momentum", "base_momentum", "max_momentum"),
    )
    return cyclic(
        one(base), up, down, mode=mode, gamma=gamma, scale=scale, per=per, steps=steps
    ), one(peak)


def momentum_of(name: str, params: Params, steps: int) -> Translated:
    """Return the schedule of the momentum that torch's OneCycleLR and CyclicLR move as well."""
    dialect = {"dialect": "torch"}
    if name == "OneCycleLR":
        low, high = params.get("base_momentum", 0.85), params.get("max_momentum", 0.95)
        spec, _ = torch_one_cycle(dict(params))
        return Translated({**spec, **dialect, "start": float(high), "end": float(high)}, low)
    low, high = params.get("base_momentum", 0.8), params.get("max_momentum", 0.9)
    spec, _ = torch_cyclic(dict(params), steps)
    return Translated({**spec, **dialect, "base": float(high)}, low)


def sequential(
    schedulers: list[Params], milestones: list[int], base: float, steps: int, *, single: bool
) -> Translated:
    parts: list[Spec] = []
    for i, inner in enumerate(schedulers):
        part = torch_schedule(
            inner["schedule"], without(inner["params"], "lr"), base, steps, single=single
        )
        spec = at_lr(part.spec, part.lr, base)
        if inner["schedule"] == "ConstantLR" and i and "length" not in spec:
            spec = {"kind": "constant"}  # its closed form begins it anew, and is over at once
        if inner["schedule"] == "MultiplicativeLR" and i:
            # It has no closed form to begin anew with: it goes on from the lr it finds.
            so_far = chain(parts, milestones[: i - 1])
            found = optcore.make_schedule(so_far, lr=base, total_steps=milestones[i - 1])
            spec = {
                "kind": "scale",
                "schedule": spec,
                "factor": found(milestones[i - 1] - 1) / base,
            }
        if spec["kind"] == "values":
            edges = [0, *milestones, max(steps, milestones[-1] + 1)]
            spec = {**spec, "values": spec["values"][: edges[i + 1] - edges[i]]}
        parts.append(spec)
    return Translated(chain(parts, milestones), base, longer=milestones[-1] + 1)


def chain(parts: list[Spec], boundaries: list[int]) -> Spec:
    return {"kind": "chain", "schedules": parts, "boundaries": boundaries}


ABSOLUTE = ("LambdaLR", "OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts")
"""torch's schedulers that overwrite lr; the others multiply the one they find."""


def chained(schedulers: list[Params], base: float, steps: int, *, single: bool) -> Translated:
    parts = [
        torch_schedule(s["schedule"], without(s["params"], "lr"), base, steps, single=single)
        for s in schedulers
    ]
    names = [s["schedule"] for s in schedulers]
    if not any(adds_or_overwrites(s, steps) for s in schedulers):
        return Translated({"kind": "product", "schedules": [p.spec for p in parts]}, base)
    # A factor of the value before only where nothing overwrites it: step for step, then.
    at = np.arange(steps)
    pieces = [
        optcore.make_schedule(p.spec, lr=p.lr, total_steps=p.total_steps(steps))(at) for p in parts
    ]
    values = [base]
    for t in range(steps):
        lr = values[-1]
        for name, piece, scheduler in zip(names, pieces, schedulers, strict=True):
            if name in ABSOLUTE:
                lr = piece[t]
            elif name == "CosineAnnealingLR":
                lr = cosine_factor(lr, piece, t, base, scheduler["params"])
            else:
                lr *= piece[t] / (piece[t - 1] if t else base)
        values.append(float(lr))
    return Translated({"kind": "values", "values": values[1:]}, base)


def adds_or_overwrites(scheduler: Params, steps: int) -> bool:
    if scheduler["schedule"] == "CosineAnnealingLR":
        params = scheduler["params"]
        return bool(params.get("eta_min", 0.0) != 0 or params["T_max"] < steps - 1)
    return scheduler["schedule"] in ABSOLUTE


def cosine_factor(lr: float, piece: Any, t: int, base: float, params: Params) -> float:
    low, length = params.get("eta_min", 0.0), params["T_max"]
    if t == 0:
        return lr
    if (t - 1 - length) % (2 * length) == 0:
        return float(lr + (base - low) * (1 - math.cos(math.pi / length)) / 2)
    return float((piece[t] - low) / (piece[t - 1] - low) * (lr - low) + low)


def at_lr(spec: Spec, lr: float, base: float) -> Spec:
    """Return *spec*, which was meant for *lr*, as part of something that has *base*."""
    if lr == base or spec["kind"] == "values":
        return spec
    return {"kind": "scale", "schedule": spec, "factor": lr / base}
