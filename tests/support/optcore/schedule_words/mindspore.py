"""MindSpore: cells, computed in float32 per step, and lists, in Python's floats per epoch."""

from __future__ import annotations

from tests.support.optcore.schedule_words.shared import (
    Params,
    Translated,
    decay,
    piecewise,
    polynomial,
    take,
)


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
