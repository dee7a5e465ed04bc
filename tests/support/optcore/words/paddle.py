"""paddle.optimizer's words."""

from __future__ import annotations

from typing import Any

from tests.support.optcore.words.words import Case, Unknown, Words

ALSO = {"epsilon": "eps"}
DECAYING = ("AdamW", "Lamb")
"""Classes whose own decay is no regularizer: one that a ParamAttr has is added to the gradient."""


def translate(case: Case) -> Words:
    """Return *case* of paddle.optimizer in our words."""
    words = Words({"dialect": "paddle"}, dict(case["params"]))
    if isinstance(words.params.get("learning_rate"), dict):
        del words.params["learning_rate"]
        words.lrs[""] = case["lr"]
        words.spec["lr"] = max(case["lr"])
    words.take({"learning_rate": "lr"})
    words.same("multi_precision", "maximize")
    words.drop("name", "parameters")
    words.spec |= clip(words.params.pop("grad_clip", None))
    attributes = {name: words.params.pop(f"{name}_attr", None) or {} for name in ("w", "b")}
    groups = words.params.pop("groups", [])
    exempt = words.params.pop("no_decay", [])
    if "rescale_grad" in words.params:
        words.loss_scale = 1 / words.params.pop("rescale_grad")
    _read(case["optimizer"], words)
    if "weight_decay" in words.params:
        words.spec |= regularizer(words.params.pop("weight_decay"), case["optimizer"])
    for name in exempt:
        words.group(name, weight_decay=0.0)
    for name, attribute in attributes.items():
        words.group(name, **_attribute(dict(attribute), case["optimizer"]))
    if groups and words.spec.get("clip", {}).get("kind") == "global_norm":
        words.spec["clip"]["per_group"] = True
    for group in groups:
        _group(words, dict(group), case["optimizer"])
    return words


def translate_sparse(case: Case) -> Words:
    """Return *case* with row-sparse gradients in our words."""
    words = translate(case)
    if case["params"].get("lazy_mode"):
        words.spec["kind"] = "lazy_adam"
    return words


def regularizer(value: Any, optimizer: str = "") -> dict[str, float]:
    """Return the fields that a regularizer, or a bare number, comes to."""
    if value is None:
        return {"weight_decay": 0.0} if optimizer == "AdamW" else {}
    if isinstance(value, dict):
        ((name, coefficient),) = value.items()
        return {"weight_decay" if name == "L2Decay" else "l1": coefficient}
    return {"weight_decay": float(value)}


def clip(value: dict[str, Any] | None) -> dict[str, Any]:
    """Return the field that a gradient clip comes to."""
    if not value:
        return {}
    ((name, given),) = value.items()
    match name:
        case "ClipGradByValue":
            return {"clip": {"kind": "value", **given}}
        case "ClipGradByNorm":
            return {"clip": {"kind": "norm", "max": given["clip_norm"]}}
        case "ClipGradByGlobalNorm":
            return {"clip": {"kind": "global_norm", "max": given["clip_norm"]}}
    raise Unknown(name)


def _read(name: str, words: Words) -> None:  # noqa: PLR0912  # one branch per class
    words.take(ALSO)
    words.same("beta1", "beta2")
    match name:
        case "SGD":
            words.spec["kind"] = "sgd"
        case "Momentum":
            nesterov = words.params.pop("use_nesterov", False)
            words.spec["kind"] = "nesterov" if nesterov else "momentum"
            words.same("momentum")
        case "Adagrad":
            words.spec["kind"] = "adagrad"
            words.same("initial_accumulator_value")
        case "Adam" | "AdamW":
            words.spec["kind"] = name.lower()
            words.same("amsgrad")
            words.drop("lazy_mode", "use_multi_tensor", "lr_ratio")  # dense gradients ignore it
        case "Adamax":
            words.spec["kind"] = "adamax"
        case "Adadelta":
            words.spec["kind"] = "adadelta"
            words.same("rho")
        case "RMSProp":
            words.spec["kind"] = "rmsprop"
            words.same("rho", "momentum", "centered")
        case "Lamb":
            words.spec["kind"] = "lamb"
            words.take({"lamb_weight_decay": "weight_decay"})
            words.same("always_adapt")
        case "NAdam":
            words.spec["kind"] = "nadam"
            words.same("momentum_decay")
        case "RAdam":
            words.spec["kind"] = "radam"
        case "Rprop":
            words.spec["kind"] = "rprop"
            words.pair("etas", "eta_minus", "eta_plus")
            words.pair("learning_rate_range", "step_min", "step_max")
        case "ASGD":
            words.spec["kind"] = "sag"
            words.same("batch_num")
        case _:
            raise Unknown(name)


def _attribute(attribute: dict[str, Any], optimizer: str) -> dict[str, Any]:
    """Return what a ParamAttr overrides; its regularizer replaces the optimizer's, if any."""
    overrides: dict[str, Any] = {}
    if "learning_rate" in attribute:
        overrides["lr_scale"] = attribute.pop("learning_rate")
    own = regularizer(attribute.pop("regularizer", None))
    if optimizer in DECAYING and "weight_decay" in own:
        overrides["l2"] = own["weight_decay"]
    elif optimizer in DECAYING:
        overrides |= own
    elif own:
        overrides |= {"weight_decay": 0.0, "l1": 0.0, **own}
    if not attribute.pop("need_clip", True):
        overrides["clip"] = None
    if attribute:
        raise Unknown(f"a ParamAttr with {', '.join(attribute)}")
    return overrides


def _group(words: Words, group: dict[str, Any], optimizer: str) -> None:
    names = group.pop("params")
    own = Words({}, group)
    own.take({"learning_rate": "lr_scale", **ALSO})  # a multiple of the optimizer's
    own.same("beta1", "beta2", "momentum", "rho", "always_adapt")
    if "weight_decay" in own.params:
        own.spec |= {"weight_decay": 0.0, "l1": 0.0}
        own.spec |= regularizer(own.params.pop("weight_decay"))
    if "grad_clip" in own.params:
        own.spec["clip"] = clip(own.params.pop("grad_clip")).get("clip")
    if "lamb_weight_decay" in own.params:
        own.spec["weight_decay"] = own.params.pop("lamb_weight_decay")
    if own.params:
        raise Unknown(f"a group with {', '.join(own.params)}")
    together = words.spec.get("clip", {}).get("per_group") or own.spec.get("clip")
    if len(names) > 1 and together:
        words.spec.setdefault("groups", []).append({"match": {"name": names}, **own.spec})
        return
    for name in names:
        words.group(name, **own.spec)
