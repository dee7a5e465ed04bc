"""torch.optim's words."""

from __future__ import annotations

from typing import Any

from tests.optcore.words.words import Case, Unknown, Words

HOW = ("foreach", "fused", "capturable", "differentiable")


def translate(case: Case) -> Words:
    """Return *case* of torch.optim in our words."""
    words = Words({"dialect": "torch"}, dict(case["params"]))
    name = case["optimizer"].removeprefix("torch.optim.")
    groups = words.params.pop("groups", [])
    words.drop(*HOW)
    _clip(words)
    _read(name, words)
    for group in groups:
        _group(name, words, dict(group))
    if name == "Muon":
        words.only = ("w",)
    return words


def translate_sparse(case: Case) -> Words:
    """Return *case* with row-sparse gradients in our words."""
    if case["optimizer"] != "SparseAdam":
        return translate(case)
    words = Words({"dialect": "torch", "kind": "lazy_adam"}, dict(case["params"]))
    words.same("lr", "eps", "maximize")
    words.pair("betas", "beta1", "beta2")
    return words


def _read(name: str, words: Words) -> None:
    """Move the hyperparameters of the class *name* into the spec."""
    words.same("lr", "maximize", "weight_decay", "decoupled_weight_decay")
    words.pair("betas", "beta1", "beta2")
    match name:
        case "SGD":
            _sgd(words)
        case "Adam" | "AdamW":
            words.spec["kind"] = name.lower()
            words.same("eps", "amsgrad")
        case "Adamax" | "RAdam" | "NAdam":
            words.spec["kind"] = name.lower()
            words.same("eps", "momentum_decay")
        case "RMSprop":
            words.spec["kind"] = "rmsprop"
            words.take({"alpha": "rho"})
            words.same("eps", "momentum", "centered")
        case "Rprop":
            words.spec["kind"] = "rprop"
            words.pair("etas", "eta_minus", "eta_plus")
            words.pair("step_sizes", "step_min", "step_max")
        case "Adagrad":
            words.spec["kind"] = "adagrad"
            words.same("eps", "lr_decay", "initial_accumulator_value")
        case "Adadelta":
            words.spec["kind"] = "adadelta"
            words.same("eps", "rho")
        case "ASGD":
            words.spec["kind"] = "asgd"
            words.same("lambd", "alpha", "t0")
        case "Adafactor":
            words.spec["kind"] = "adafactor"
            words.take({"d": "clip_threshold"})
            words.same("beta2_decay")
            if "eps" in words.params:
                eps1, words.spec["eps2"] = words.params.pop("eps")
                words.spec |= {} if eps1 is None else {"eps1": eps1}
        case "Muon":
            words.spec["kind"] = "muon"
            words.take({"eps": "ns_eps", "adjust_lr_fn": "adjust_lr"})
            words.same("momentum", "nesterov", "ns_steps")
            words.pair("ns_coefficients", "ns_a", "ns_b", "ns_c")
        case _:
            raise Unknown(name)


def _sgd(words: Words) -> None:
    momentum = words.params.pop("momentum", 0.0)
    nesterov = words.params.pop("nesterov", False)
    dampening = words.params.pop("dampening", 0.0)
    if not momentum:
        words.spec["kind"] = "sgd"  # torch leaves dampening alone then
        return
    words.spec |= {"kind": "nesterov" if nesterov else "momentum", "momentum": momentum}
    if not nesterov:
        words.spec["dampening"] = dampening


def _group(name: str, words: Words, group: dict[str, Any]) -> None:
    names = group.pop("params")
    own = Words({}, group)
    own.drop(*HOW)
    if name == "SGD":
        own.same("momentum", "dampening")
        own.drop("nesterov")
        if words.spec["kind"] == "sgd" and own.spec.get("momentum"):
            words.spec |= {"kind": "momentum", "momentum": 0.0}
        own.same("lr", "maximize", "weight_decay")
    else:
        _read(name, own)
        del own.spec["kind"]
    if own.params:
        raise Unknown(f"a group with {', '.join(own.params)}")
    for parameter in names:
        words.group(parameter, **own.spec)


def _clip(words: Words) -> None:
    clip = words.params.pop("grad_clip", None) or {}
    for name, value in clip.items():
        if name == "clip_grad_norm_":
            largest = value["max_norm"] if isinstance(value, dict) else value
            words.spec["clip"] = {"kind": "global_norm", "max": largest}
        elif name == "clip_grad_value_":
            largest = value["clip_value"] if isinstance(value, dict) else value
            words.spec["clip"] = {"kind": "value", "max": largest}
        else:
            raise Unknown(name)
