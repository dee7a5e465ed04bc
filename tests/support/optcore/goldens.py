"""From a recorded case, in its framework's own words, to our spec."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.support.optcore.words import (
    article,
    keras,
    mindspore,
    muon,
    optax,
    paddle,
    paddleocr,
    tf1,
    timm,
    torchs,
    transformers,
)
from tests.support.optcore.words.words import Case, Unknown, Words

GOLDEN_DIR = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[2] / "golden"))

__all__ = [
    "GOLDEN_DIR",
    "Case",
    "NotYet",
    "family",
    "optimizer_families",
    "parameters_of",
    "translated",
]

NotYet = Unknown

FRAMEWORKS = {
    "torch": torchs.translate,
    "torch_sparse": torchs.translate_sparse,
    "paddle": paddle.translate,
    "paddle_mp": paddle.translate,
    "paddle_sparse": paddle.translate_sparse,
    "paddleocr": paddleocr.translate,
    "mindspore": mindspore.translate,
    "mindcv": mindspore.translate,
    "keras": keras.translate,
    "tf1": tf1.translate,
    "muon": muon.translate,
    "timm": timm.translate,
    "timm_variants": timm.translate,
    "article": article.translate,
    "article_tf": article.translate,
    "optax": optax.translate,
    "optax_more": optax.translate,
    "optax_chain": optax.translate,
    "optax_contrib": optax.translate,
    "transformers": transformers.translate,
}
"""Family, without ``optimizers_`` -> what reads its cases."""


def family(name: str) -> dict[str, Any]:
    """Return a recorded family, or one without cases if the folder does not have it."""
    path = GOLDEN_DIR / f"{name}.json"
    if not path.is_file():
        return {"cases": []}
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def optimizer_families() -> list[str]:
    """Return the families of optimizers that the folder has."""
    return sorted(
        path.stem.removeprefix("optimizers_") for path in GOLDEN_DIR.glob("optimizers_*.json")
    )


def parameters_of(case: Case) -> tuple[str, ...]:
    """Return the names of the parameters whose values *case* has."""
    return tuple(name for name in ("w", "u", "b", "k") if name in case)


def translated(name: str, case: Case) -> Words:
    """
    Return what *case* of the family *name* says in our words.

    Raises:
        Unknown: it says something that nobody has translated.
    """
    words = FRAMEWORKS[name](case)
    words.only = words.only or parameters_of(case)
    if words.params:
        raise Unknown(f"{case['optimizer']} with {', '.join(words.params)}")
    return words


def optimizer_spec(framework: str, case: Case) -> dict[str, Any]:
    """Return the optimizer's spec for *case*."""
    return translated(framework, case).spec
