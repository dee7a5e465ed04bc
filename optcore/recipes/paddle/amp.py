"""Convert the keys for mixed precision in the configurations of PaddleOCR and PaddleClas."""

from __future__ import annotations

from optcore.recipes.block import Block

PRECISIONS = {"float16": "fp16", "bfloat16": "bf16"}
LISTS = ("amp_custom_black_list", "amp_custom_white_list")
OTHERS = (*LISTS, "scale_loss", "use_dynamic_loss_scaling")


def convert_amp(block: Block, *, level: str, on: bool = False, prefix: str = "amp_") -> None:
    """
    Convert use_amp and the related keys to a precision and a loss scale.

    Args:
        block: the block that contains the keys.
        level: the default of the key ``{prefix}level``, which is O1 or O2.
        on: the default of use_amp.
        prefix: the beginning of the names of two keys, ``{prefix}level`` and ``{prefix}dtype``.
    """
    if not (block.flag("use_amp") if block.given("use_amp") else on):
        block.converted("use_amp", "training.precision", "fp32")
        for key in (f"{prefix}level", f"{prefix}dtype", *OTHERS):
            block.ignored(key, "use_amp is off")
        return
    _level(block, f"{prefix}level", level)
    dtype = f"{prefix}dtype"
    precision = block.choice(dtype, PRECISIONS, "float16")
    if "use_amp" in block or dtype in block:
        block.converted("use_amp", "training.precision", precision)
    else:
        block.result.default("training.precision", precision, "use_amp is on by default")
    block.converted(dtype, "training.precision", precision)
    for key in LISTS:
        block.other(key, "torch's autocast chooses the operations of a job", tell=True)
    _loss_scale(block)


def _level(block: Block, key: str, default: str) -> None:
    level = block.get(key, default)
    if level == "O1":
        block.ignored(key, "O1 is what fp16 and bf16 are: float32 parameters, autocast")
        return
    block.refused(
        key,
        f"must be O1: {level} keeps parameters in 16 bits beside float32 normalization, "
        "which no precision of a job does"
        + ("" if key in block else f" ({default} is the default)"),
        required=True,
    )


def _loss_scale(block: Block) -> None:
    scale = block.number("scale_loss", 1.0)
    dynamic = block.flag("use_dynamic_loss_scaling", False)
    spec = {"kind": "dynamic", "start": scale} if dynamic else {"kind": "fixed", "scale": scale}
    # With both kinds, Paddle's GradScaler skips an update that is not finite.
    if "scale_loss" in block or "use_dynamic_loss_scaling" in block:
        block.converted("scale_loss", "training.loss_scale", spec)
        block.converted("use_dynamic_loss_scaling", "training.loss_scale", spec)
    else:
        block.result.default("training.loss_scale", spec, "the default with use_amp")
