"""
From a recorded schedule, in its framework's own words, to our spec.

Each translator takes every argument its class has in that framework, not only those the recorded
cases use, and fails on one it does not know: a parameter silently dropped would be a false pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import optcore

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
        return max(recorded, self.longer)


def translated(framework: str, name: str, params: Params, *, drive: str, steps: int) -> Translated:
    """Return our words for a schedule of which the first *steps* values were recorded."""
    if framework == "torch":
        base = params["lr"]
        return torch_schedule(name, without(params, "lr"), base, steps)
    if framework == "mindspore" and name.startswith("experimental."):
        base = params["lr"]
        bare = name.removeprefix("experimental.")
        return torch_schedule(bare, without(params, "lr"), base, steps, single=True)
    if framework == "mindspore":
        return mindspore(name, params)
    if framework == "paddle":
        return paddle(name, params, steps, closed=drive == "step(epoch)")
    if framework == "paddleocr":
        return paddleocr(name, params)
    if framework == "keras":
        return keras(name, params)
    assert framework == "tf1", framework
    return tf1(name, params)


# --- torch, and mindspore.experimental, which is torch in float32


def torch_schedule(
    name: str, params: Params, base: float, steps: int, *, single: bool = False
) -> Translated:
    dialect = {"dialect": "torch", "precision": "float32" if single else "float64"}
    lr = base
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
    return cyclic(one(base), up, down, mode, gamma, scale, per, steps), one(peak)


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
        return params.get("eta_min", 0.0) != 0 or params["T_max"] < steps - 1
    return scheduler["schedule"] in ABSOLUTE


def cosine_factor(lr: float, piece: Any, t: int, base: float, params: Params) -> float:
    low, length = params.get("eta_min", 0.0), params["T_max"]
    if t == 0:
        return lr
    if (t - 1 - length) % (2 * length) == 0:
        return lr + (base - low) * (1 - math.cos(math.pi / length)) / 2
    return float((piece[t] - low) / (piece[t - 1] - low) * (lr - low) + low)


def at_lr(spec: Spec, lr: float, base: float) -> Spec:
    """Return *spec*, which was meant for *lr*, as part of something that has *base*."""
    if lr == base or spec["kind"] == "values":
        return spec
    return {"kind": "scale", "schedule": spec, "factor": lr / base}


# --- Paddle


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
        if at_one(last):
            lr = low + (lr - low) / at_one(last)
    spec = {"kind": "shift", "schedule": found.spec, "by": last + 1}
    if found.spec["kind"] == "values":
        return Translated({"kind": "values", "values": found.spec["values"][last + 1 :]}, lr)
    return Translated(spec, lr, longer=found.longer)


def paddle_plain(name: str, params: Params, steps: int, *, by_epoch: bool) -> tuple[Spec, float]:
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
        return cyclic(base, up, down, mode, gamma, scale, per, steps), peak
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


DECAYS = {
    "NaturalExpDecay": "natural_exponential",
    "InverseTimeDecay": "inverse_time",
    "ExponentialDecay": "exponential",
}


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


# --- PaddleOCR


def paddleocr(name: str, params: Params) -> Translated:
    params = dict(params)
    last = params.pop("last_epoch", -1)
    epoch = params.pop("step_each_epoch")
    warmup = round(params.pop("warmup_epoch", 0) * epoch)
    spec, lr = paddleocr_plain(name, params, epoch)
    found = Translated({**spec, "dialect": "paddleocr"}, lr, epoch)
    if warmup:
        peak = spec["values"][0] if spec["kind"] == "piecewise" else lr
        found = behind(found, warmup, 0.0, float(peak), 0)
    recursive = {"Cosine": "CosineAnnealingDecay"}.get(name, name) if not warmup else ""
    return found if last == -1 else entered_later(found, recursive, last)


def paddleocr_plain(name: str, params: Params, epoch: int) -> tuple[Spec, float]:
    match name:
        case "Piecewise":
            epochs, values = take(params, decay_epochs=..., values=...)
            return piecewise([epoch * e for e in epochs], values), 1.0
        case "OneCycle":
            peak, epochs, shape, three = take(
                params, max_lr=..., epochs=..., anneal_strategy="cos", three_phase=False
            )
            spec = {
                "kind": "one_cycle",
                "length": epochs * epoch,
                "shape": SHAPES[shape],
                "three_phase": three,
            }
            return spec, peak
    lr = params.pop("learning_rate")
    match name:
        case "Linear":
            epochs, end, power = take(params, epochs=..., end_lr=0.0, power=1.0)
            return polynomial(round(epochs * epoch), end, power, False), lr
        case "DecayLearningRate":
            epochs, factor = take(params, epochs=..., factor=0.9, ignored=("end_lr",))
            return polynomial(epoch * epochs, 0.0, factor, False), lr
        case "Cosine":
            (epochs,) = take(params, epochs=...)
            return {"kind": "cosine", "length": epoch * epochs}, lr
        case "Step":
            size, gamma = take(params, step_size=..., gamma=0.1)
            return {"kind": "step", "every": epoch * size, "gamma": float(gamma)}, lr
        case "MultiStepDecay":
            milestones, gamma = take(params, milestones=..., gamma=0.1)
            at = [epoch * m for m in milestones]
            return {"kind": "multi_step", "milestones": at, "gamma": float(gamma)}, lr
        case "CyclicalCosine":
            (cycle,) = take(params, cycle=..., ignored=("epochs",))
            return {"kind": "cyclical_cosine", "length": round(cycle * epoch)}, lr
        case "TwoStepCosine":
            (epochs,) = take(params, epochs=...)
            return {"kind": "two_step_cosine", "first": 200 * epoch, "length": epochs * epoch}, lr
        case "Const":
            take(params)
            return {"kind": "constant"}, lr
    raise NotImplementedError(name)


# --- MindSpore: cells, computed in float32 per step, and lists, in Python's floats per epoch


def mindspore(name: str, params: Params) -> Translated:
    params = dict(params)
    if name.endswith("_lr"):
        return mindspore_list(name, params)
    cell = {"dialect": "mindspore"}
    if name == "WarmUpLR":
        lr, length = take(params, learning_rate=..., warmup_steps=...)
        warmup = {"length": length, "after": "delay"}
        return Translated({"kind": "constant", **cell, "warmup": warmup}, lr, longer=length + 1)
    if name == "CosineDecayLR":
        low, high, length = take(params, min_lr=..., max_lr=..., decay_steps=...)
        return Translated({"kind": "cosine", **cell, "length": length, "end": float(low)}, high)
    if name == "PolynomialDecayLR":
        lr, end, length, power, cycle = take(
            params,
            learning_rate=...,
            end_learning_rate=...,
            decay_steps=...,
            power=...,
            update_decay_steps=False,
        )
        return Translated({**polynomial(length, end, power, cycle), **cell}, lr)
    lr, rate, every, stair = take(
        params, learning_rate=..., decay_rate=..., decay_steps=..., is_stair=False
    )
    kind = {
        "ExponentialDecayLR": "exponential",
        "NaturalExpDecayLR": "natural_exponential",
        "InverseDecayLR": "inverse_time",
    }[name]
    return Translated({**decay(kind, rate, every, stair), **cell}, lr)


def mindspore_list(name: str, params: Params) -> Translated:
    double = {"dialect": "mindspore", "precision": "float64"}
    if name == "piecewise_constant_lr":
        milestone, values = take(params, milestone=..., learning_rates=...)
        if len(values) == 1:
            return Translated({"kind": "constant"}, values[0])
        return Translated({**piecewise(milestone[:-1], values), **double}, 1.0)
    per_epoch = params.pop("step_per_epoch")
    params.pop("total_step")
    least = 0
    if name == "cosine_decay_lr":
        low, lr, length = take(params, min_lr=..., max_lr=..., decay_epoch=...)
        spec = {"kind": "cosine", "length": length, "end": float(low), **double}
    elif name == "polynomial_decay_lr":
        lr, end, length, power, cycle = take(
            params,
            learning_rate=...,
            end_learning_rate=...,
            decay_epoch=...,
            power=...,
            update_decay_epoch=False,
        )
        spec = {**polynomial(length, end, power, cycle), **double}
    elif name == "warmup_lr":
        lr, length = take(params, learning_rate=..., warmup_epoch=...)
        spec = {"kind": "constant", "warmup": {"length": length, "after": "delay"}}
        least = (length + 1) * per_epoch
    else:
        lr, rate, every, stair = take(
            params, learning_rate=..., decay_rate=..., decay_epoch=..., is_stair=False
        )
        kind = {
            "exponential_decay_lr": "exponential",
            "natural_exp_decay_lr": "natural_exponential",
            "inverse_decay_lr": "inverse_time",
        }[name]
        spec = {**decay(kind, rate, every, stair), **double}
    return Translated({"kind": "per_epoch", "schedule": spec}, lr, per_epoch, least)


# --- TF1 and Keras


def tf1(name: str, params: Params) -> Translated:
    dialect = {"dialect": "tf1"}
    params = without(params, "name")
    if name == "piecewise_constant":
        boundaries, values = take(params, boundaries=..., values=...)
        return Translated({**piecewise(boundaries, values), **dialect}, 1.0)
    lr = params.pop("learning_rate")
    if name == "cosine_decay_restarts":
        return Translated({**tf_restarts(params), **dialect}, lr)
    length = params.pop("decay_steps")
    match name:
        case "exponential_decay" | "natural_exp_decay" | "inverse_time_decay":
            rate, stair = take(params, decay_rate=..., staircase=False)
            kind = {"natural_exp_decay": "natural_exponential"}.get(
                name, name.removesuffix("_decay")
            )
            spec = decay(kind, rate, length, stair)
        case "polynomial_decay":
            spec = tf_polynomial(params, length)
        case "cosine_decay":
            (alpha,) = take(params, alpha=0.0)
            spec = {"kind": "cosine", "length": length, "end_fraction": float(alpha)}
        case "linear_cosine_decay" | "noisy_linear_cosine_decay":
            spec = tf_linear_cosine(name, params, length)
        case _:
            raise NotImplementedError(name)
    return Translated({**spec, **dialect}, lr)


def tf_linear_cosine(name: str, params: Params, length: int) -> Spec:
    noise: Spec = {}
    if name == "noisy_linear_cosine_decay":
        noise = {
            "initial_variance": float(params.pop("initial_variance", 1.0)),
            "variance_decay": float(params.pop("variance_decay", 0.55)),
        }
    periods, alpha, beta = take(params, num_periods=0.5, alpha=0.0, beta=0.001)
    spec = {"num_periods": float(periods), "alpha": float(alpha), "beta": float(beta)}
    return {"kind": name.removesuffix("_decay"), "length": length, **spec, **noise}


def tf_polynomial(params: Params, length: int) -> Spec:
    return polynomial(length, *take(params, end_learning_rate=0.0001, power=1.0, cycle=False))


def tf_restarts(params: Params) -> Spec:
    first, t_mul, m_mul, alpha = take(
        params, first_decay_steps=..., t_mul=2.0, m_mul=1.0, alpha=0.0
    )
    return {
        "kind": "cosine_restarts",
        "length": first,
        "t_mul": float(t_mul),
        "m_mul": float(m_mul),
        "end_fraction": float(alpha),
    }


def keras(name: str, params: Params) -> Translated:
    dialect = {"dialect": "keras"}
    params = without(params, "name")
    if name == "PiecewiseConstantDecay":
        boundaries, values = take(params, boundaries=..., values=...)
        return Translated({**piecewise(boundaries, values), **dialect}, 1.0)
    lr = float(params.pop("initial_learning_rate"))
    match name:
        case "ExponentialDecay" | "InverseTimeDecay":
            every, rate, stair = take(params, decay_steps=..., decay_rate=..., staircase=False)
            spec = decay(DECAYS[name], rate, every, stair)
        case "PolynomialDecay":
            spec = tf_polynomial(params, params.pop("decay_steps"))
        case "CosineDecayRestarts":
            spec = tf_restarts(params)
        case "CosineDecay":
            length, alpha, target, warmup = take(
                params, decay_steps=..., alpha=0.0, warmup_target=None, warmup_steps=0
            )
            spec = {"kind": "cosine", "length": length, "end_fraction": float(alpha), **dialect}
            if target is None or warmup == 0:
                return Translated(spec, lr if target is None else target)
            return behind(Translated(spec, target), warmup, lr, target, 0)
        case _:
            raise NotImplementedError(name)
    return Translated({**spec, **dialect}, lr)


# --- what the frameworks share

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
    mode, factor, patience, threshold, threshold_mode, cooldown, low, least = take(
        params,
        mode="min",
        factor=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0.0,
        **{eps: 1e-8},
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
