"""The words of transformers.optimization."""

from __future__ import annotations

from tests.support.optcore.words.words import Case, Unknown, Words


def translate(case: Case) -> Words:
    """Return *case* of transformers.optimization in our words."""
    if case["optimizer"] != "Adafactor":
        raise Unknown(case["optimizer"])
    words = Words({"dialect": "transformers", "kind": "adafactor"}, dict(case["params"]))
    words.pair("eps", "eps1", "eps2")
    words.take({"decay_rate": "beta2_decay"})
    words.same(
        "lr",
        "clip_threshold",
        "beta1",
        "weight_decay",
        "scale_parameter",
        "relative_step",
        "warmup_init",
    )
    return words
