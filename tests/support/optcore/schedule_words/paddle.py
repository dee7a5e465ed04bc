"""Paddle."""

from __future__ import annotations

import optcore
from tests.support.optcore.schedule_words.shared import (
    DECAYS,
    SHAPES,
    Params,
    Spec,
    Translated,
    behind,
    cyclic,
    linear,
    listed,
    of_lambda,
    piecewise,
    plateau,
    polynomial,
    restarts,
    take,
    without,
)


def paddle(
    name: str, params: Params, steps: int, *, closed: bool = False, inside: bool = False
) -> Translated:
    """
    Return Paddle's schedule *name*.

    Args:
        name: of the class.
        params: its arguments.
        steps: how many values were recorded.
        closed: whether it is asked by epoch, for which some classes have another formula.
        inside: whether a LinearWarmup holds it, which asks it by epoch and counts those itself.
    """
    params = without(params, "verbose")
    last = params.pop("last_epoch", -1)
    if name == "LinearWarmup":
        found = paddle_warmup(params, steps)
    else:
        spec, lr = paddle_plain(name, params, steps + last + 1, by_epoch=closed or inside)
        dialect = {} if spec["kind"] == "values" else {"dialect": "paddle"}
        found = Translated({**spec, **dialect}, lr)
    if last == -1 or inside:
        return found
    return entered_later(found, name, last)


def entered_later(found: Translated, name: str, last: int) -> Translated:
    """Return *found* as Paddle continues it after *last*, which may be from the wrong lr."""
    lr = found.lr
    if name in ("CosineAnnealingDecay", "LinearLR"):
        # Recursive: the value that belongs to *last* is taken to be the base lr.
        low = found.spec.get("end", 0.0) if name == "CosineAnnealingDecay" else 0.0
        at_one = optcore.make_schedule(
            {**found.spec, **({"end": 0.0} if low else {})}, lr=1.0, total_steps=last + 2
        )
        if name == "LinearLR" and last >= found.spec["length"]:
            return Translated({"kind": "constant"}, lr)  # its recursion is over
        if name == "CosineAnnealingDecay":
            return cosine_entered_later(found, last, low, at_one(last))
        if at_one(last):
            lr /= at_one(last)
    spec = {"kind": "shift", "schedule": found.spec, "by": last + 1}
    if found.spec["kind"] == "values":
        return Translated({"kind": "values", "values": found.spec["values"][last + 1 :]}, lr)
    return Translated(spec, lr, longer=found.longer)


def cosine_entered_later(found: Translated, last: int, low: float, left: float) -> Translated:
    """Return a cosine from *left* of its height, which is taken to be all, until it rises again."""
    later = {"kind": "shift", "schedule": found.spec, "by": last + 1}
    if not left or left == 1 or found.lr == low:
        return Translated(later, found.lr)
    factor = (low + (found.lr - low) / left) / found.lr
    higher = {**found.spec, "end": low / factor}
    first = {"kind": "scale", "schedule": {**later, "schedule": higher}, "factor": factor}
    period = 2 * found.spec["length"]
    rises = next(t for t in range(last + 1, last + period + 2) if (t - period // 2) % period == 1)
    if rises == last + 1:
        return Translated(later, found.lr)
    again = {**later, "by": rises}
    chain = {"kind": "chain", "schedules": [first, again], "boundaries": [rises - last - 1]}
    return Translated(chain, found.lr)


def paddle_plain(  # noqa: PLR0912 - one per class
    name: str, params: Params, steps: int, *, by_epoch: bool
) -> tuple[Spec, float]:
    if name == "PiecewiseDecay":
        boundaries, values = take(params, boundaries=..., values=...)
        return piecewise(boundaries, values), 1.0
    if name == "OneCycleLR":
        return paddle_one_cycle(params)
    if name == "CyclicLR":
        base, peak, up, down, mode, gamma, scale, per = take(
            params,
            base_learning_rate=...,
            max_learning_rate=...,
            step_size_up=...,
            step_size_down=None,
            mode="triangular",
            exp_gamma=1.0,
            scale_fn=None,
            scale_mode="cycle",
        )
        return cyclic(
            base, up, down, mode=mode, gamma=gamma, scale=scale, per=per, steps=steps
        ), peak
    lr = params.pop("learning_rate", 1.0)
    match name:
        case "NoamDecay":
            width, warmup = take(params, d_model=..., warmup_steps=...)
            return {"kind": "noam", "d_model": width, "warmup_steps": warmup}, lr
        case "NaturalExpDecay" | "InverseTimeDecay" | "ExponentialDecay":
            (gamma,) = take(params, gamma=...)
            return {"kind": DECAYS[name], "rate": float(gamma)}, lr
        case "PolynomialDecay":
            length, end, power, cycle = take(
                params, decay_steps=..., end_lr=0.0001, power=1.0, cycle=False
            )
            return polynomial(length, end, power, cycle), lr
        case "MultiStepDecay":
            milestones, gamma = take(params, milestones=..., gamma=0.1)
            return {"kind": "multi_step", "milestones": milestones, "gamma": float(gamma)}, lr
        case "StepDecay":
            size, gamma = take(params, step_size=..., gamma=0.1)
            return {"kind": "step", "every": size, "gamma": float(gamma)}, lr
        case "LambdaDecay":
            (factor,) = take(params, lr_lambda=...)
            return listed(of_lambda(factor), lr, steps), lr
        case "MultiplicativeDecay":
            (factor,) = take(params, lr_lambda=...)
            factors = [float(of_lambda(factor)(t)) for t in range(1, max(2, steps))]
            return {"kind": "multiplicative", "factors": factors}, lr
        case "CosineAnnealingDecay":
            length, low = take(params, T_max=..., eta_min=0.0)
            return {"kind": "cosine", "length": length, "end": float(low)}, lr
        case "CosineAnnealingWarmRestarts":
            spec = restarts(*take(params, T_0=..., T_mult=1, eta_min=0.0))
            return {**spec, "edges": "logarithm" if by_epoch else "exact"}, lr
        case "LinearLR":
            total, start, end = take(params, total_steps=..., start_factor=1 / 3, end_factor=1.0)
            return linear(start, end, total), lr
        case "ReduceOnPlateau":
            return plateau(params, eps="epsilon"), lr
    raise NotImplementedError(name)


def paddle_one_cycle(params: Params) -> tuple[Spec, float]:
    peak, total, div, end, pct, shape, three = take(
        params,
        max_learning_rate=...,
        total_steps=...,
        divide_factor=25.0,
        end_learning_rate=0.0001,
        phase_pct=0.3,
        anneal_strategy="cos",
        three_phase=False,
    )
    spec = {
        "kind": "one_cycle",
        "length": total,
        "div_factor": float(div),
        "end": float(end),
        "pct_start": float(pct),
        "shape": SHAPES[shape],
        "three_phase": three,
    }
    return spec, peak


def paddle_warmup(params: Params, steps: int) -> Translated:
    inner, length, start, end = take(
        params, learning_rate=..., warmup_steps=..., start_lr=..., end_lr=...
    )
    if isinstance(inner, dict):
        found = paddle(inner["schedule"], inner["params"], steps, inside=True)
    else:
        found = Translated({"kind": "constant"}, float(inner))
    return behind(found, length, float(start), float(end), steps)
