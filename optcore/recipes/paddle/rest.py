"""Record the keys of PaddleOCR and PaddleClas that are not about the optimization."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from optcore.recipes.block import Block
from optcore.spec.errors import did_you_mean

# A key that no converter knows is refused if its name suggests that it is about the optimization.
SUSPICIOUS = re.compile(
    r"(^|_)(amp|ema|lr|swa|fp16|bf16|grad|gradient|accum\w*|optim\w*|decay|warmup|scale|clip)(_|$)",
    re.IGNORECASE,
)
FROM_ELSEWHERE = {
    "seed": "the random numbers of another framework differ for the same seed",
    "checkpoints": "it says where a run is continued, not how it trains",
    "img_scale": "it is the size of the images",
    "pretrained_model": "it names the weights to begin with",
}
OUTSIDE = "not about the optimization"


def refuse_name(
    block: Block, known: Iterable[str], unsayable: Mapping[str, str] | None = None
) -> None:
    """
    Refuse the class that *block* names, and record the arguments of the class as ``other``.

    Args:
        block: the mapping with the name of the class and its arguments.
        known: the classes that can be converted.
        unsayable: class that cannot be converted -> the reason.
    """
    given = block.get("name")
    if unsayable and isinstance(given, str) and given in unsayable:
        block.refused("name", f"cannot be converted: {unsayable[given]}")
    else:
        near = did_you_mean(given, known)
        block.refused("name", f"must be one of {', '.join(known)}{near}", required=True)
    for key in block.left():
        block.other(key, f"it is read by the class, and {block.name_of('name')} is refused")


def name_rest(file: Block) -> None:
    """
    Record all keys of *file* that have no record yet.

    Keys whose names suggest that they are about the optimization are refused. All other keys are
    recorded as not about the optimization.
    """
    if isinstance(file.get("Global"), Mapping):
        _name(file.block("Global"))
    for key in file.left():
        if SUSPICIOUS.search(key):
            file.refused(key, "is not known, and may be about the optimization")
        elif key not in ("Global", "Optimizer"):
            _outside(file, key)


def _name(block: Block) -> None:
    for key in block.left():
        if key in FROM_ELSEWHERE:
            block.other(key, FROM_ELSEWHERE[key])
        elif SUSPICIOUS.search(key):
            block.refused(key, "is not known, and may be about the optimization")
        else:
            block.other(key, OUTSIDE)


def _outside(file: Block, key: str) -> None:
    """Record *key*, or all keys in it that have no record, as not about the optimization."""
    if not isinstance(file.get(key), Mapping) or not file.get(key):
        file.other(key, OUTSIDE)
        return
    inner = file.block(key)
    for each in inner.left():
        _outside(inner, each)


def tell_architecture(file: Block, name: str) -> None:
    """
    Record the keys in *name*, the block that describes the network, as not about the optimization.

    Keys that change the decay or lr of some parameters, or exclude parameters from training, are
    shown to the user.
    """
    if isinstance(file.get(name), Mapping) and file.get(name):
        _architecture(file.block(name))


def _architecture(block: Block) -> None:
    for key in list(block):
        value = block.get(key)
        if isinstance(value, Mapping) and value:
            _architecture(block.block(key))
        elif key == "fc_decay":
            block.other(key, "the head's own weight decay: write a group for it", tell=True)
        elif key == "lr_mult_list" and value and set(value) != {1.0}:
            block.other(key, "factors of lr by stage: write groups for them", tell=True)
        elif key == "freeze_params" and value:
            block.other(
                key, "these parameters are not trained: name them in training.frozen", tell=True
            )
        else:
            block.other(key, OUTSIDE)
