"""The words of PaddleOCR's ``Optimizer:`` block."""

from __future__ import annotations

from tests.support.optcore.words.words import Case, Words

KINDS = {
    "Adam": "adam",
    "AdamW": "adamw",
    "Momentum": "momentum",
    "RMSProp": "rmsprop",
    "Adadelta": "adadelta",
}


def translate(case: Case) -> Words:
    """Return *case* of PaddleOCR in our words; its lr is as it was recorded."""
    config = dict(case["params"]["config"])
    words = Words({"dialect": "paddleocr", "kind": KINDS[config.pop("name")]}, config)
    words.drop("lr")
    words.lrs[""] = case["lr"]
    words.spec["lr"] = max(case["lr"])
    regularizer = words.params.pop("regularizer", None)
    if regularizer:
        field = "weight_decay" if regularizer["name"] == "L2" else "l1"
        words.spec[field] = float(regularizer["factor"])
    largest = words.params.pop("clip_norm", None)
    if largest is not None:
        words.spec["clip"] = {"kind": "norm", "max": largest}
    largest = words.params.pop("clip_norm_global", None)
    if largest is not None:
        words.spec["clip"] = {"kind": "global_norm", "max": largest}
    words.take({"epsilon": "eps"})
    words.same("beta1", "beta2", "momentum", "rho", "centered", "amsgrad", "multi_precision")
    words.same("no_weight_decay_name", "one_dim_param_no_weight_decay")
    words.drop("lazy_mode")
    return words
