"""keras.optimizers' words."""

from __future__ import annotations

from tests.support.optcore.words.lrs import keras_lrs
from tests.support.optcore.words.words import Case, Unknown, Words

KINDS = {
    "Adam": "adam",
    "AdamW": "adamw",
    "Adamax": "adamax",
    "Nadam": "nadam",
    "RMSprop": "rmsprop",
    "Adagrad": "adagrad",
    "Adadelta": "adadelta",
    "Ftrl": "ftrl",
    "Lamb": "lamb",
    "Lion": "lion",
    "Adafactor": "adafactor",
    "Muon": "muon",
    "ScheduleFreeAdamW": "schedule_free_adamw",
}
NAMES = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "learning_rate_power": "lr_power",
    "l1_regularization_strength": "l1_strength",
    "l2_regularization_strength": "l2_strength",
    "l2_shrinkage_regularization_strength": "l2_shrinkage",
    "epsilon_1": "eps1",
    "epsilon_2": "eps2",
    "beta_2_decay": "beta2_decay",
}
MUON = {
    "epsilon": "adamw_eps",
    "adam_beta_1": "adamw_beta1",
    "adam_beta_2": "adamw_beta2",
    "adam_lr_ratio": "adamw_lr_scale",
    "muon_a": "ns_a",
    "muon_b": "ns_b",
    "muon_c": "ns_c",
}
SAME = (
    "weight_decay",
    "momentum",
    "rho",
    "centered",
    "amsgrad",
    "initial_accumulator_value",
    "beta",
    "clip_threshold",
    "relative_step",
    "warmup_steps",
    "nesterov",
    "ns_steps",
)


def translate(case: Case) -> Words:
    """Return *case* of keras.optimizers in our words."""
    words = Words({"dialect": "keras"}, dict(case["params"]))
    name = case["optimizer"]
    if isinstance(words.params.get("learning_rate"), dict):
        words.lrs[""] = keras_lrs(words.params.pop("learning_rate"))
        words.spec["lr"] = max(words.lrs[""])
    words.drop("name", "finalize")
    words.feed = words.loss_scale = words.params.pop("loss_scale_factor", None) or 1.0
    words.accumulate = words.params.pop("gradient_accumulation_steps", None) or 1
    undecayed = words.params.get("weight_decay", 0) is None
    _average(words)
    _clip(words)
    if name == "SGD":
        _sgd(words)
    elif name in KINDS:
        words.spec["kind"] = KINDS[name]
    else:
        raise Unknown(name)
    if name == "Muon":
        _muon(words)
    words.take(NAMES)
    words.same(*SAME)
    if undecayed:
        words.spec["weight_decay"] = 0.0
    for parameter in _list(words.params.pop("exclude_from_weight_decay", None)) + _list(
        words.params.pop("no_decay", None)
    ):
        words.group(parameter, weight_decay=0.0)
    return words


def _list(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _sgd(words: Words) -> None:
    nesterov = words.params.pop("nesterov", False)
    momentum = words.params.pop("momentum", 0.0)
    words.spec["kind"] = "sgd"
    if momentum:
        words.spec |= {"kind": "nesterov" if nesterov else "momentum", "momentum": momentum}


def _muon(words: Words) -> None:
    words.take(MUON)
    if "adam_weight_decay" in words.params:
        words.spec["adamw_weight_decay"] = words.params.pop("adam_weight_decay") or 0.0
    if words.params.get("rms_rate", 0.2) is None:
        words.spec["adjust_lr"] = "none"
    words.same("rms_rate")
    words.drop("exclude_embeddings", "rms_rate")
    exclude = words.params.pop("exclude_layers", None) or []
    if exclude:
        words.spec["exclude"] = [f"*{part}*" for part in exclude]


def _average(words: Words) -> None:
    momentum = words.params.pop("ema_momentum", 0.99)
    every = words.params.pop("ema_overwrite_frequency", None)
    if words.params.pop("use_ema", False):
        words.ema = {"kind": "keras", "decay": momentum, "overwrite_every": every}


def _clip(words: Words) -> None:
    kinds = {"clipnorm": "norm", "global_clipnorm": "global_norm", "clipvalue": "value"}
    for theirs, kind in kinds.items():
        largest = words.params.pop(theirs, None)
        if largest:
            words.spec["clip"] = {"kind": kind, "max": largest}
