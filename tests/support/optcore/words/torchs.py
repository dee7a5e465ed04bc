"""torch.optim's words."""

from __future__ import annotations

from typing import Any

from tests.support.optcore.words.words import Case, Unknown, Words

VELOCITY = ("momentum", "nesterov", "dampening")
HOW = ("foreach", "fused", "capturable", "differentiable")


def translate(case: Case) -> Words:
    """Return *case* of torch.optim in our words."""
    words = Words({"dialect": "torch"}, dict(case["params"]))
    name = case["optimizer"].removeprefix("torch.optim.")
    groups = words.params.pop("groups", [])
    words.drop(*HOW)
    _clip(words)
    if name == "SGD":
        _sgd(words, groups)
        groups = []
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
            pass
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


def _sgd(words: Words, groups: list[dict[str, Any]]) -> None:
    """Read SGD, whose three rules are one class: which one is a parameter's, its numbers say."""
    base = {name: words.params.pop(name) for name in list(words.params) if name in VELOCITY}
    inherited = [dict(group) for group in groups]
    members = [group.pop("params") for group in inherited]
    own = {
        name: {**base, **group}
        for names, group in zip(members, inherited, strict=True)
        for name in names
    }
    used = [given for given in own.values() if _kind(given) != "sgd"] or [{}]
    kinds = {_kind(given) for given in used} if own else {_kind(base)}
    words.spec |= {"kind": min(kinds)}
    if not own:
        words.spec |= _velocity(base)
    for name, given in own.items():
        kind = min(kinds) if _kind(given) == "sgd" else _kind(given)
        rest = Words({}, given)
        numbers = _velocity(given, kind)
        rest.drop(*VELOCITY, *HOW)
        rest.same("lr", "maximize", "weight_decay")
        if rest.params:
            raise Unknown(f"a group with {', '.join(rest.params)}")
        if kind == words.spec["kind"]:
            words.group(name, **numbers, **rest.spec)
        else:
            words.apart[name] = {"kind": kind, **numbers, **rest.spec}
    if words.apart and words.spec.get("clip", {}).get("kind") == "global_norm":
        raise Unknown("one norm of what follows two rules")


def _kind(given: dict[str, Any]) -> str:
    if not given.get("momentum"):
        return "sgd"
    return "nesterov" if given.get("nesterov") else "momentum"


def _velocity(given: dict[str, Any], kind: str = "") -> dict[str, Any]:
    """Return the numbers of *given* for the rule *kind*, which may have no velocity here."""
    kind = kind or _kind(given)
    if kind == "sgd":
        return {}  # torch leaves dampening alone then
    momentum = given.get("momentum", 0.0)
    if kind == "nesterov":
        return {"momentum": momentum}
    return {"momentum": momentum, "dampening": given.get("dampening", 0.0) if momentum else 0.0}


def _group(name: str, words: Words, group: dict[str, Any]) -> None:
    names = group.pop("params")
    own = Words({}, group)
    own.drop(*HOW)
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
            if isinstance(value, dict) and float(value.get("norm_type", 2)) != 2:
                raise Unknown(f"norm_type {value['norm_type']}")
            words.spec["clip"] = {"kind": "global_norm", "max": largest}
        elif name == "clip_grad_value_":
            largest = value["clip_value"] if isinstance(value, dict) else value
            words.spec["clip"] = {"kind": "value", "max": largest}
        else:
            raise Unknown(name)
