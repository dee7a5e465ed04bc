"""TF1 and Keras."""

from __future__ import annotations

from tests.support.optcore.schedule_words.shared import (
    DECAYS,
    Params,
    Spec,
    Translated,
    behind,
    decay,
    piecewise,
    polynomial,
    take,
    without,
)


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
