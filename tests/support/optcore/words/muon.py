"""Muon in the words of its author, torch, timm and optax."""

from __future__ import annotations

from tests.support.optcore.words import timm, torchs
from tests.support.optcore.words.words import Case, Unknown, Words


def translate(case: Case) -> Words:
    """Return *case*, of one of four frameworks, in our words."""
    framework = str(case["id"]).partition(".")[0]
    if framework == "timm":
        return timm.translate(case)
    if framework == "author":
        return _author(case)
    if framework == "optax":
        return _optax(case)
    words = torchs.translate(case)
    words.only = ("w", "u")
    return words


def _author(case: Case) -> Words:
    """Return a case of SingleDeviceMuonWithAuxAdam: b is in its group of Adam."""
    words = Words({"kind": "muon", "dialect": "article"}, {})
    muon, adam = (dict(case["params"].get(name, {})) for name in ("muon", "adam"))
    words.spec |= {"lr": muon.pop("lr", 0.02), "weight_decay": muon.pop("weight_decay", 0.0)}
    words.spec["momentum"] = muon.pop("momentum", 0.95)
    words.spec["adamw_lr_scale"] = adam.pop("lr", 3e-4) / words.spec["lr"]
    words.spec["adamw_weight_decay"] = adam.pop("weight_decay", 0.0)
    words.spec["adamw_eps"] = adam.pop("eps", 1e-10)
    beta1, beta2 = adam.pop("betas", (0.9, 0.95))
    words.spec |= {"adamw_beta1": beta1, "adamw_beta2": beta2}
    words.params = muon | adam
    return words


def _optax(case: Case) -> Words:
    words = Words({"kind": "muon", "dialect": "optax"}, dict(case["params"]))
    if words.params.pop("adaptive", False):
        raise Unknown("adaptive muon of optax")
    rate = words.params.pop("consistent_rms", None)
    if rate is not None:
        words.spec |= {"adjust_lr": "match_rms_adamw", "rms_rate": rate}
    words.take(
        {
            "learning_rate": "lr",
            "beta": "momentum",
            "eps": "ns_eps",
            "adam_b1": "adamw_beta1",
            "adam_b2": "adamw_beta2",
            "adam_weight_decay": "adamw_weight_decay",
        }
    )
    words.same("weight_decay", "nesterov", "ns_steps")
    words.pair("ns_coeffs", "ns_a", "ns_b", "ns_c")
    return words
