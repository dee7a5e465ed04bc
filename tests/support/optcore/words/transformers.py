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
    # The recorder attached get_adafactor_schedule, which sets the lr of a group without
    # relative_step to 0 (its initial_lr): the recorded parameters never move.
    if not case["params"].get("relative_step", True) and all(w == case["w"][0] for w in case["w"]):
        words.lrs[""] = [0.0] * len(case["w"])
    return words
