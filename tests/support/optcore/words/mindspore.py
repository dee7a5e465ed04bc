"""mindspore.nn's words, mindcv's and mindocr's, and mindspore.experimental.optim's (torch's)."""

from __future__ import annotations

from typing import Any

from tests.support.optcore.words import torchs
from tests.support.optcore.words.lrs import mindspore_lrs
from tests.support.optcore.words.words import Case, Unknown, Words

KINDS = {
    "Adam": "adam",
    "AdamOffload": "adam",
    "AdamWeightDecay": "adam_weight_decay",
    "LazyAdam": "lazy_adam",
    "RMSProp": "rmsprop",
    "Adagrad": "adagrad",
    "FTRL": "ftrl",
    "ProximalAdagrad": "proximal_adagrad",
    "AdaFactor": "adafactor",
    "AdaMax": "adamax",
    "Adadelta": "adadelta",
    "Rprop": "rprop",
    "ASGD": "asgd",
    "mindcv.AdamW": "adamw",
    "mindcv.Lion": "lion",
    "mindocr.AdamW": "adamw",
    "mindocr.Lion": "lion",
}
NAMES = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "use_amsgrad": "amsgrad",
    "use_nesterov": "nesterov",
    "accum": "initial_accumulator_value",
    "initial_accum": "initial_accumulator_value",
    "l1": "l1_strength",
    "l2": "l2_strength",
}
SAME = (
    "weight_decay",
    "beta1",
    "beta2",
    "momentum",
    "centered",
    "update_slots",
    "lr_power",
    "rho",
    "lambd",
    "alpha",
    "t0",
    "clip_threshold",
    "scale_parameter",
    "relative_step",
    "warmup_init",
)


def translate(case: Case) -> Words:
    """Return *case* of MindSpore in our words."""
    name = case["optimizer"].removeprefix("nn.")
    if name.startswith("experimental."):
        words = torchs.translate({**case, "optimizer": name.removeprefix("experimental.")})
        if name == "experimental.Adam":  # runs on the kernel of nn.Adam, with its eps
            words.spec["dialect"] = "mindspore"
        return words
    words = Words({"dialect": "mindspore"}, dict(case["params"]))
    words.drop("use_locking", "use_lazy", "use_offload", "compression", "name")
    groups = words.params.pop("groups", [])
    _lr(words)
    _clip(words)
    words.feed = words.loss_scale = words.params.pop("loss_scale", 1.0)
    _read(name, words)
    for group in groups:
        _group(words, dict(group))
    return words


def _read(name: str, words: Words) -> None:
    if name in ("SGD", "Momentum"):
        _sgd(name, words)
    elif name in KINDS:
        words.spec["kind"] = KINDS[name]
    else:
        raise Unknown(name)
    if name == "AdaFactor":
        words.pair("eps", "eps1", "eps2")
        if "decay_rate" in words.params:
            words.spec["beta2_decay"] = -words.params.pop("decay_rate")
        if words.params.get("beta1", 0.9) is None:
            words.params["beta1"] = 0.0
        if isinstance(words.lrs.get(""), list):
            words.spec |= {"scale_parameter": False, "relative_step": False}
            words.drop("scale_parameter", "relative_step")
        if words.params.get("learning_rate", 0) is None:
            del words.params["learning_rate"]
    if name == "RMSProp":
        words.take({"decay": "rho"})
    words.same("eps")
    words.take(NAMES)
    words.same(*SAME)
    words.pair("etas", "eta_minus", "eta_plus")
    words.pair("step_sizes", "step_min", "step_max")


def _sgd(name: str, words: Words) -> None:
    momentum = words.params.pop("momentum", 0.0)
    nesterov = words.params.pop("nesterov" if name == "SGD" else "use_nesterov", False)
    dampening = words.params.pop("dampening", 0.0)
    if "lr" not in words.spec and "learning_rate" not in words.params:
        words.spec["lr"] = 0.1
    if not momentum and name == "SGD":
        words.spec["kind"] = "sgd"
        return
    words.spec |= {"kind": "nesterov" if nesterov else "momentum", "momentum": momentum}
    if dampening:
        words.spec["dampening"] = dampening


def _lr(words: Words, name: str = "") -> None:
    given = words.params.get("lr" if name else "learning_rate")
    if isinstance(given, dict | list):
        words.lrs[name] = mindspore_lrs(given)
        words.params.pop("lr" if name else "learning_rate")
        words.spec["lr"] = max(words.lrs[name])


def _group(words: Words, group: dict[str, Any]) -> None:
    if "order_params" in group:
        words.spec["order_params"] = group["order_params"]
        return
    names = group.pop("params")
    for name in names:
        own = Words({}, dict(group))
        _lr(own, name)
        words.lrs |= own.lrs
        own.same("lr", "weight_decay", "grad_centralization")
        if own.params:
            raise Unknown(f"a group with {', '.join(own.params)}")
        if "lr" in own.spec and "" in words.lrs and name not in words.lrs:
            words.lrs[name] = [own.spec["lr"]] * len(words.lrs[""])
        # Also where nothing is different: with groups, decay does not look at names.
        words.spec.setdefault("groups", []).append({"match": name, **own.spec})


def _clip(words: Words) -> None:
    clip = words.params.pop("grad_clip", None) or {}
    for name, given in clip.items():
        match name:
            case "clip_by_global_norm":
                words.spec["clip"] = {"kind": "global_norm", "max": given["clip_norm"]}
            case "clip_by_norm":
                largest = given.get("max_norm", given.get("clip_norm"))
                words.spec["clip"] = {"kind": "global_norm", "max": largest}
            case "clip_by_value":
                limits = {"min": given["clip_value_min"], "max": given["clip_value_max"]}
                words.spec["clip"] = {"kind": "value", **limits}
            case _:
                raise Unknown(name)
