"""optax's words."""

from __future__ import annotations

from typing import Any

from optcore.spec.limits import MAX_COUNT
from tests.support.optcore.words.lrs import optax_lrs
from tests.support.optcore.words.words import Case, Unknown, Words

KINDS = {
    "adabelief": "adabelief",
    "adadelta": "adadelta",
    "adafactor": "adafactor",
    "adagrad": "adagrad",
    "adam": "adam",
    "adamax": "adamax",
    "adamaxw": "adamax",
    "adamw": "adamw",
    "adan": "adan",
    "amsgrad": "adam",
    "contrib.acprop": "acprop",
    "contrib.ademamix": "ademamix",
    "contrib.adopt": "adopt",
    "contrib.cocob": "cocob",
    "contrib.madgrad": "madgrad",
    "contrib.schedule_free_adamw": "schedule_free_adamw",
    "contrib.schedule_free_sgd": "schedule_free_sgd",
    "contrib.simplified_ademamix": "simplified_ademamix",
    "fromage": "fromage",
    "lamb": "lamb",
    "lars": "lars",
    "lion": "lion",
    "nadam": "nadam",
    "nadamw": "nadam",
    "novograd": "novograd",
    "optimistic_gradient_descent": "optimistic_gradient_descent",
    "radam": "radam",
    "rmsprop": "rmsprop",
    "rprop": "rprop",
    "sign_sgd": "sign_sgd",
    "signum": "signum",
    "sm3": "sm3",
    "yogi": "yogi",
}
SAME = (
    "alpha",
    "beta",
    "bias_correction",
    "centered",
    "eps",
    "eps_root",
    "eta_minus",
    "eta_plus",
    "initial_accumulator_value",
    "min_norm",
    "momentum",
    "nesterov",
    "rho",
    "threshold",
    "use_clipping",
    "warmup_steps",
    "weight_decay",
    "weight_lr_power",
)
NAMES = {
    "learning_rate": "lr",
    "b1": "beta1",
    "b2": "beta2",
    "b3": "beta3",
    "decay": "rho",
    "eps_in_sqrt": "eps_inside",
    "initial_scale": "initial_accumulator_value",
    "min_step_size": "step_min",
    "max_step_size": "step_max",
    "trust_coefficient": "lars_coeff",
}
ADAFACTOR = {
    "min_dim_size_to_factor": "factored_from",
    "multiply_by_parameter_scale": "scale_parameter",
    "clipping_threshold": "clip_threshold",
    "weight_decay_rate": "weight_decay",
    "momentum": "beta1",
    "eps": "eps1",
}
NO_LIMIT = 1e30
DECOUPLED = {"adamaxw": 1e-4, "nadamw": 1e-4}
"""Optimizers whose decay is decoupled, but not in our kind -> their default decay."""
CLIPS = {
    "clip": ("value", "max_delta"),
    "clip_by_global_norm": ("global_norm", "max_norm"),
    "clip_by_block_rms": ("rms", "threshold"),
    "adaptive_grad_clip": ("adaptive", "clipping"),
}


def translate(case: Case) -> Words:
    """Return *case* of optax in our words."""
    steps = len(case["w"])
    words = _one(case["optimizer"], case["params"], steps)
    return words


def _one(name: str, params: dict[str, Any], steps: int) -> Words:
    """Return the words of the transformation *name* with *params*."""
    words = Words({"dialect": "optax"}, dict(params))
    match name:
        case "chain":
            return _chain(words.params.pop("transforms"), steps)
        case "multi_transform" | "partition":
            return _parts(words.params, steps)
        case "MultiSteps":
            inner = words.params.pop("opt")
            found = _one(inner["optimizer"], inner["params"], steps)
            found.accumulate = words.params.pop("every_k_schedule")
            if not words.params.pop("use_grad_mean", True):
                found.feed = float(found.accumulate)
            found.params |= words.params
            return found
    _kind(name, words)
    _masks(words)
    _lr(words, steps)
    words.drop("accumulator_dtype", "mu_dtype", "dtype_momentum", "state_dtype")
    if words.spec["kind"] == "adafactor":
        _adafactor(words)
    if words.spec["kind"] == "cocob":
        words.take({"eps": "initial_scale"})
    words.take(NAMES)
    words.same(*SAME)
    return words


def _kind(name: str, words: Words) -> None:
    spec, params = words.spec, words.params
    momentum = params.get("momentum")
    if name == "sgd":
        nesterov = params.pop("nesterov", False)
        if momentum is None:
            params.pop("momentum", None)
            spec["kind"] = "sgd"
        else:
            spec["kind"] = "nesterov" if nesterov else "momentum"
        return
    if name not in KINDS:
        raise Unknown(name)
    spec["kind"] = KINDS[name]
    if name == "amsgrad":
        spec["amsgrad"] = True
    if name in ("adam", "adamw") and params.pop("nesterov", False):
        spec["kind"] = "nadam"
    if name in DECOUPLED or (name == "adamw" and spec["kind"] == "nadam"):
        spec |= {"weight_decay": 1e-4, "decoupled_weight_decay": True}
    if momentum is None:
        params.pop("momentum", None)
        if name == "rmsprop":
            params.pop("nesterov", None)
    if name == "signum" and "beta" in params:
        spec["momentum"] = params.pop("beta")


def _masks(words: Words) -> None:
    """Turn masks into groups."""
    decay = words.params.pop("mask", None), words.params.pop("weight_decay_mask", None)
    ratio = words.params.pop("trust_ratio_mask", None)
    for mask in decay:
        for name in [name for name, on in (mask or {}).items() if not on]:
            words.group(name, weight_decay=0.0)
    for name in [name for name, on in (ratio or {}).items() if not on]:
        words.group(name, adapt=False)


def _lr(words: Words, steps: int) -> None:
    """Read the lr, where it is a schedule; and the numbers that have one."""
    lr = words.params.get("learning_rate", 0.0)
    if isinstance(lr, dict):
        words.lrs[""] = optax_lrs(words.params.pop("learning_rate"), steps)
        words.spec["lr"] = max(words.lrs[""])


def _adafactor(words: Words) -> None:
    if words.params.get("learning_rate", 0.0) is None or "learning_rate" not in words.params:
        words.params.pop("learning_rate", None)
        words.spec["lr"] = 1.0
    if "decay_rate" in words.params:
        words.spec["beta2_decay"] = -words.params.pop("decay_rate")
    if not words.params.pop("factored", True):
        words.spec["factored_from"] = MAX_COUNT
    if words.params.get("clipping_threshold", 0.0) is None:
        words.spec["clip_threshold"] = NO_LIMIT
    # Counted from the first update of our run.
    if "decay_offset" in words.params:
        words.spec["decay_offset"] = words.params.pop("decay_offset")
    words.take(ADAFACTOR)


def _chain(transforms: list[dict[str, Any]], steps: int) -> Words:
    """Return the words of transformations that are applied one after another."""
    names = [transform["optimizer"] for transform in transforms]
    rules = [i for i, name in enumerate(names) if name in KINDS or name == "sgd"]
    if len(rules) != 1:
        raise Unknown(f"a chain of {', '.join(names)}")
    at = rules[0]
    words = _one(names[at], transforms[at]["params"], steps)
    for i, (name, transform) in enumerate(zip(names, transforms, strict=True)):
        if i != at:
            _beside(words, name, dict(transform["params"]), after=i > at)
    return words


def _beside(words: Words, name: str, params: dict[str, Any], *, after: bool) -> None:
    """Add the transformation *name*, which is before or *after* the rule."""
    if name in CLIPS:
        kind, largest = CLIPS[name]
        clip = {"kind": kind, "max": params.pop(largest), **params}
        words.spec["clip_update" if after else "clip"] = clip
    elif name == "add_decayed_weights" and not after and not words.spec.get("clip"):
        words.spec["weight_decay"] = params.pop("weight_decay")
        for parameter in [p for p, on in (params.pop("mask", None) or {}).items() if not on]:
            words.group(parameter, weight_decay=0.0)
        words.params |= params
    elif name == "apply_every" and after and words.spec["kind"] == "sgd":
        words.accumulate = params.pop("k")
        words.feed = float(words.accumulate)
        words.params |= params
    else:
        raise Unknown(f"{name} {'after' if after else 'before'} {words.spec['kind']}")


def _parts(params: dict[str, Any], steps: int) -> Words:
    """Return the words of an optimizer for each label."""
    labels, transforms = params.pop("param_labels"), params.pop("transforms")
    words = Words({"dialect": "optax"}, params)
    words.parts = []
    for label, transform in transforms.items():
        names = [name for name, of in labels.items() if of == label]
        if transform["optimizer"] == "set_to_zero" or not names:
            continue
        part = _one(transform["optimizer"], transform["params"], steps)
        if part.accumulate != 1:
            raise Unknown(f"{transform['optimizer']} for some parameters")
        words.params |= part.params
        words.lrs |= {name: part.lrs[""] for name in names if "" in part.lrs}
        words.parts.append((names, part.spec))
    return words
