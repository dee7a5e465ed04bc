"""The names of timm.optim.create_optimizer_v2, and their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.optcore.words.words import Case, Unknown, Words

IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable", "verbose")
TORCH = {"dialect": "torch"}
TIMM = {"dialect": "timm"}
NAMES = {
    "alpha": "rho",
    "decoupled_decay": "decoupled_weight_decay",
    "decoupled": "decoupled_weight_decay",
    "caution": "cautious",
    "trust_coeff": "lars_coeff",
    "lr_1d_factor": "lr_1d_scale",
    "lr_in_momentum": "lr_in_momentum",
    "schedule_decay": "momentum_decay",
}
SAME = (
    "lr",
    "eps",
    "weight_decay",
    "momentum",
    "dampening",
    "amsgrad",
    "maximize",
    "nesterov",
    "centered",
    "rho",
    "lr_decay",
    "initial_accumulator_value",
    "momentum_decay",
    "decoupled_weight_decay",
    "corrected_weight_decay",
    "grad_averaging",
    "bias_correction",
    "trust_clip",
    "always_adapt",
    "gamma",
    "mars_type",
    "optimize_1d",
    "rectify",
    "degenerated_to_sgd",
)

MUON = {
    "eps": "ns_eps",
    "safety_factor": "ns_safety",
    "fallback_lr_scale": "adamw_lr_scale",
}


@dataclass(frozen=True)
class Name:
    """
    What a name stands for.

    Attributes:
        kind: our name of the rule.
        dialect: its dialect.
        given: the settings that the name implies, as timm's arguments.
        read: translates arguments that need more than another name.
    """

    kind: str
    dialect: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[Words], None] = lambda words: None


def _lamb(words: Words) -> None:
    if "max_grad_norm" in words.params:
        largest = words.params.pop("max_grad_norm")
        words.spec["clip"] = None if not largest else {"kind": "global_norm", "max": largest}


def _mars(words: Words) -> None:
    if words.params.get("betas_1d"):
        words.pair("betas_1d", "beta1_1d", "beta2_1d")
    words.drop("betas_1d")


def _muon(words: Words) -> None:
    words.spec["adaptive"] = words.params.pop("algo", "muon") == "adamuon"
    # create_optimizer_v2 sets a momentum of 0.9, where the class has 0.95.
    words.params.setdefault("momentum", 0.9)
    coefficients = words.params.pop("ns_coefficients", "quintic")
    words.spec["ns_schedule"] = coefficients
    if coefficients == "original":
        words.spec["ns_schedule"] = "constant"
    elif not isinstance(coefficients, str):
        words.spec["ns_schedule"] = "constant"
        rows = coefficients if isinstance(coefficients[0], list) else [coefficients]
        if len(rows) > 1:
            raise Unknown(f"ns_coefficients {coefficients}")
        words.spec.update(zip(("ns_a", "ns_b", "ns_c"), rows[0], strict=True))
    if "adjust_lr_fn" in words.params:
        words.spec["adjust_lr"] = words.params.pop("adjust_lr_fn") or "none"
    adamw_lr = words.params.pop("adamw_lr", None)
    if adamw_lr is not None:
        words.spec["adamw_lr_scale"] = adamw_lr / words.params.get("lr", 0.02)
    words.pair("betas", "adamw_beta1", "adamw_beta2")
    words.take(MUON)
    words.same("ns_steps", "conv_mode", "normalize_spatial", "scale_eps")


def _adopt(words: Words) -> None:
    if "clip_exp" in words.params:
        exponent = words.params.pop("clip_exp")
        if exponent is None:
            words.spec["use_clipping"] = False
        else:
            words.spec["clip_exponent"] = exponent


def _adan(words: Words) -> None:
    words.spec["proximal"] = not words.params.pop("no_prox", False)
    words.pair("betas", "beta1", "beta2", "beta3")


def _sgd(words: Words) -> None:
    momentum = words.params.get("momentum", 0.9)
    if not momentum:
        words.drop("momentum", "nesterov", "dampening", "caution")
        words.spec["kind"] = "sgd"
    elif not words.params.pop("nesterov"):
        words.spec["kind"] = "momentum"
    else:
        words.drop("dampening")


def _decoupled(words: Words) -> None:
    words.spec["decoupled_weight_decay"] = True


def _sgdw(words: Words) -> None:
    _decoupled(words)
    _sgd(words)


NESTEROV = {"nesterov": True}
CORRECTED = {"corrected_weight_decay": True}
CAUTION = {"caution": True}
BASES = {
    "sgd": Name("nesterov", TORCH, NESTEROV, _sgd),
    "momentum": Name("nesterov", TORCH, {"nesterov": False}, _sgd),
    "sgdw": Name("nesterov", TORCH, NESTEROV, _sgdw),
    "adam": Name("adam", TORCH),
    "adamw": Name("adamw", TIMM),
    "adamwlegacy": Name("adamw", TIMM),
    "nadam": Name("nadam", TORCH),
    "nadamlegacy": Name("nadam", TORCH),
    "nadamw": Name("adamw", TIMM, NESTEROV),
    "radam": Name("radam", TORCH),
    "radamw": Name("radam", TORCH, {"decoupled_weight_decay": True}),
    "radamlegacy": Name("radam", TORCH, {"decoupled_weight_decay": True}),
    "adamax": Name("adamax", TORCH),
    "adagrad": Name("adagrad", TIMM),
    "adadelta": Name("adadelta", TORCH),
    "rmsprop": Name("rmsprop", TIMM),
    "rmsproptf": Name("rmsprop_tf", TIMM),
    "lion": Name("lion", TIMM),
    "lamb": Name("lamb", TIMM, read=_lamb),
    "lars": Name("lars", TIMM),
    "laprop": Name("laprop", TIMM),
    "mars": Name("mars", TIMM, read=_mars),
    "adopt": Name("adopt", TIMM, read=_adopt),
    "adan": Name("adan", TIMM, read=_adan),
    "adabelief": Name("adabelief", TIMM, {"rectify": False}),
    "radabelief": Name("adabelief", TIMM, {"rectify": True}),
    "madgrad": Name("madgrad", TIMM),
    "novograd": Name("novograd", TIMM),
    "muon": Name("muon", TIMM, read=_muon),
    "adamuon": Name("muon", TIMM, {"algo": "adamuon"}, _muon),
}
"""Names of optimizers, and what they are here."""
VARIANTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "nesterov": ("sgd", {}),
    "nesterovw": ("sgdw", {}),
    "sgdc": ("sgdw", CORRECTED),
    "csgdw": ("sgdw", CAUTION),
    "csgdc": ("sgdw", CAUTION | CORRECTED),
    "adamc": ("adamwlegacy", CORRECTED),
    "cadamw": ("adamwlegacy", CAUTION),
    "cadamc": ("adamwlegacy", CAUTION | CORRECTED),
    "nadamc": ("nadamw", CORRECTED),
    "cnadamw": ("nadamw", CAUTION),
    "cnadamc": ("nadamw", CAUTION | CORRECTED),
    "lionc": ("lion", CORRECTED),
    "clion": ("lion", CAUTION),
    "clionc": ("lion", CAUTION | CORRECTED),
    "lambc": ("lamb", {"trust_clip": True}),
    "lambw": ("lamb", {"decoupled_decay": True}),
    "lambcw": ("lamb", {"trust_clip": True, "decoupled_decay": True}),
    "lambcd": ("lamb", {"decoupled_decay": True, **CORRECTED}),
    "clamb": ("lamb", CAUTION),
    "clambw": ("lamb", {"decoupled_decay": True, **CAUTION}),
    "larc": ("lars", {"trust_clip": True}),
    "nlars": ("lars", NESTEROV),
    "nlarc": ("lars", {"trust_clip": True, **NESTEROV}),
    "rmsproptfw": ("rmsproptf", {"decoupled_decay": True}),
    "rmsproptfc": ("rmsproptf", {"decoupled_decay": True, **CORRECTED}),
    "crmsproptf": ("rmsproptf", CAUTION),
    "lapropc": ("laprop", CORRECTED),
    "claprop": ("laprop", CAUTION),
    "cmars": ("mars", CAUTION),
    "adoptw": ("adopt", {"decoupled": True}),
    "adoptc": ("adopt", {"decoupled": True, **CORRECTED}),
    "cadopt": ("adopt", CAUTION),
    "cadoptw": ("adopt", {"decoupled": True, **CAUTION}),
    "cadoptc": ("adopt", {"decoupled": True, **CAUTION, **CORRECTED}),
    "adanw": ("adan", {"no_prox": True}),
    "cadan": ("adan", CAUTION),
    "cadanw": ("adan", {"no_prox": True, **CAUTION}),
    "madgradw": ("madgrad", {"decoupled_decay": True}),
    "nmuon": ("muon", NESTEROV),
    "nadamuon": ("adamuon", NESTEROV),
    "novogradw": ("novograd", {"decoupled_decay": True}),
    "novogradc": ("novograd", {"decoupled_decay": True, **CORRECTED}),
}
"""Names that are another name with some arguments set."""


def translate(case: Case) -> Words:
    """Return *case* of timm in our words."""
    words = Words({}, dict(case["params"]))
    name = str(case["optimizer"]).lower()
    base, given = VARIANTS.get(name, (name, {}))
    if base not in BASES:
        raise Unknown(name)
    stands_for = BASES[base]
    words.spec = {"kind": stands_for.kind, **stands_for.dialect}
    words.params = {**stands_for.given, **given, **words.params}
    words.drop(*IMPLEMENTATION)
    filtered = words.params.pop("filter_bias_and_bn", True)
    stands_for.read(words)
    words.pair("betas", "beta1", "beta2")
    words.take(NAMES)
    words.same(*SAME)
    words.spec.setdefault("weight_decay", 0.0)
    if filtered and words.spec["weight_decay"]:
        words.spec["groups"] = [{"preset": "no_decay_norm_bias"}]
    if "lr" in case:
        words.lrs[""] = case["lr"]
    return words
