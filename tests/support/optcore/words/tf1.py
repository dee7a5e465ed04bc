"""tf.compat.v1.train's words."""

from __future__ import annotations

from typing import Any

from tests.support.optcore.words.lrs import tf1_lrs
from tests.support.optcore.words.words import Case, Unknown, Words

KINDS = {
    "GradientDescentOptimizer": "sgd",
    "AdagradOptimizer": "adagrad",
    "AdamOptimizer": "adam",
    "RMSPropOptimizer": "rmsprop",
    "AdadeltaOptimizer": "adadelta",
    "FtrlOptimizer": "ftrl",
    "ProximalAdagradOptimizer": "proximal_adagrad",
    "ProximalGradientDescentOptimizer": "proximal_sgd",
}
STRENGTHS = {
    "l1_regularization_strength": "l1_strength",
    "l2_regularization_strength": "l2_strength",
    "l2_shrinkage_regularization_strength": "l2_shrinkage",
    "learning_rate_power": "lr_power",
}


def translate(case: Case) -> Words:
    """Return *case* of tf.compat.v1.train in our words."""
    words = Words({"dialect": "tf1"}, dict(case["params"]))
    name = case["optimizer"]
    if isinstance(words.params.get("learning_rate"), dict):
        words.lrs[""] = tf1_lrs(words.params.pop("learning_rate"))
        words.spec["lr"] = max(words.lrs[""])
    words.take({"learning_rate": "lr", "epsilon": "eps", **STRENGTHS})
    words.same("beta1", "beta2", "rho", "momentum", "centered", "beta")
    words.same("initial_accumulator_value")
    words.drop("use_locking", "name", "accum_name", "linear_name")
    if name == "MomentumOptimizer":
        nesterov = words.params.pop("use_nesterov", False)
        words.spec["kind"] = "nesterov" if nesterov else "momentum"
    elif name in KINDS:
        words.spec["kind"] = KINDS[name]
    else:
        raise Unknown(name)
    if name == "RMSPropOptimizer":
        words.take({"decay": "rho"})
    words.spec.setdefault("lr", 0.001)  # Adam's and Adadelta's default
    _clip(words)
    return words


def _clip(words: Words) -> None:
    for theirs, kind in (("clip_by_global_norm", "global_norm"), ("clip_by_norm", "norm")):
        if theirs in words.params:
            words.spec["clip"] = {"kind": kind, "max": _largest(words.params.pop(theirs))}
    if "clip_by_value" in words.params:
        lowest, largest = _limits(words.params.pop("clip_by_value"))
        words.spec["clip"] = {"kind": "value", "min": lowest, "max": largest}


def _largest(value: Any) -> float:
    return float(value["clip_norm"] if isinstance(value, dict) else value)


def _limits(value: Any) -> tuple[float, float]:
    if isinstance(value, dict):
        return value["clip_value_min"], value["clip_value_max"]
    return (value[0], value[1]) if isinstance(value, list) else (-value, value)
