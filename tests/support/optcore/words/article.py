"""The words of the article's six classes."""

from __future__ import annotations

from tests.support.optcore.words.words import Case, Words

NAMES = {"alpha": "momentum", "mu": "momentum", "decay_rate": "rho"}


def translate(case: Case) -> Words:
    """Return *case* of the article in our words."""
    words = Words({"dialect": "article", "kind": case["optimizer"].lower()}, dict(case["params"]))
    words.take(NAMES)
    words.same("lr", "beta1", "beta2")
    return words
