"""Rules that frameworks have and this project has not, by name. Their cases are counted apart."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.optcore.words.words import Case

NOT_HERE: Mapping[str, tuple[str, ...]] = {
    "timm": ("adamp", "sgdp", "adafactor", "adafactorbv"),
    "timm_variants": ("cadamp", "cadafactor", "adafactorbvc", "lookahead_adamw"),
    "optax_contrib": (
        "contrib.prodigy",
        "contrib.dadapt_adamw",
        "contrib.dog",
        "contrib.dowg",
        "contrib.muon",
    ),
    "optax_chain": ("partition",),
}
"""Family -> the optimizers in it for which there is no rule."""


def is_missing(family: str, case: Case) -> bool:
    """Return whether there is no rule for *case* of *family*."""
    return case["optimizer"] in NOT_HERE.get(family, ())
