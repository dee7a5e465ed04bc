"""
Configurations of PaddleOCR: what ppocr/optimizer and tools/train.py read.

Source: PaddleOCR main of 2026 (with paddlepaddle 3.3.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.paddle.amp import convert_amp
from optcore.recipes.paddle.ocr_lr import convert_lr
from optcore.recipes.source import Source
from optcore.recipes.table import ClassTable, flag, ignored, number, text

NOT_USED = "PaddleOCR keeps it and does not use it"
DENSE = "it counts for row-sparse gradients alone, and a job has none"


def _group_lr(block: Block, key: str) -> None:
    if block.get(key):
        block.refused(key, "gives parts of VisionLAN an lr of their own, by their names")
    else:
        block.ignored(key, "it is off")


# Momentum, Adam, RMSProp and Adadelta take multi_precision, centered and so on, without use.
OPTIMIZERS: dict[str, ClassTable] = {
    "Momentum": ClassTable("momentum", {"momentum": number("optimizer.momentum")}, ("momentum",)),
    "Adam": ClassTable(
        "adam",
        {
            "beta1": number("optimizer.beta1"),
            "beta2": number("optimizer.beta2"),
            "epsilon": number("optimizer.eps"),
            "parameter_list": ignored(NOT_USED),
            "lazy_mode": ignored(DENSE),
            "group_lr": _group_lr,
            "training_step": ignored("it counts where group_lr is on"),
        },
    ),
    "AdamW": ClassTable(
        "adamw",
        {
            "beta1": number("optimizer.beta1"),
            "beta2": number("optimizer.beta2"),
            "epsilon": number("optimizer.eps"),
            "multi_precision": flag("optimizer.multi_precision"),
            "no_weight_decay_name": text("optimizer.no_weight_decay_name"),
            "one_dim_param_no_weight_decay": flag("optimizer.one_dim_param_no_weight_decay"),
            "lazy_mode": ignored(DENSE),
        },
    ),
    "RMSProp": ClassTable(
        "rmsprop",
        {
            "momentum": number("optimizer.momentum"),
            "rho": number("optimizer.rho"),
            "epsilon": number("optimizer.eps"),
        },
    ),
    "Adadelta": ClassTable(
        "adadelta",
        {
            "rho": number("optimizer.rho"),
            "epsilon": number("optimizer.eps"),
            "parameter_list": ignored(NOT_USED),
        },
    ),
}
"""Class in ppocr/optimizer/optimizer.py -> what it reads, besides lr, decay and clip."""


def _l1(block: Block, key: str) -> None:
    block.converted(key, "optimizer.l1", block.number(key))


REGULARIZERS: dict[str, ClassTable] = {
    "L1Decay": ClassTable("l1", {"factor": _l1}, swallows=False),
    "L2Decay": ClassTable("l2", {"factor": number("optimizer.weight_decay")}, swallows=False),
}
"""Class in ppocr/optimizer/regularizer.py -> what it reads."""

ARGUMENTS = {
    "learning_rate": "raises TypeError in PaddleOCR: it comes from Optimizer.lr",
    "grad_clip": "raises TypeError in PaddleOCR: it comes from clip_norm",
    "parameters": "raises TypeError in PaddleOCR",
}
"""Keywords that build_optimizer gives itself."""


def convert(file: Block) -> None:
    """Convert a whole PaddleOCR configuration."""
    run, block = file.block("Global"), file.block("Optimizer")
    epochs: float | None = None
    if run.given("epoch_num"):
        epochs = run.whole("epoch_num")
        run.converted("epoch_num", "training.epochs", epochs)
    if "Optimizer" in file:
        _optimizer(block, epochs)
    else:
        file.refused("Optimizer", "is required", required=True)
    convert_amp(run, level="O2")
    _rest_of_the_run(run)
    _rest_of_the_file(file)


def _optimizer(block: Block, epochs: float | None) -> None:
    name = block.get("name")
    if name not in OPTIMIZERS:
        block.refused("name", f"must be one of {', '.join(OPTIMIZERS)}", required=True)
        name = "Adam"
    table = OPTIMIZERS[name]
    block.converted("name", "optimizer.kind", table.kind)
    block.result.default("optimizer.dialect", "paddleocr", "the file is PaddleOCR's")
    if "lr" in block:
        convert_lr(block.block("lr"), epochs)
    else:
        block.refused("lr", "is required", required=True)
    _decay(block, name)
    _clip(block)
    for key, reason in ARGUMENTS.items():
        if key not in table.reads:
            block.refused(key, reason)
    table.read(block, name, "PaddleOCR")


def _decay(block: Block, name: str) -> None:
    if not block.given("regularizer"):
        block.ignored("regularizer", "null is no regularizer")
        if block.given("weight_decay"):
            decay = block.number("weight_decay")
            block.converted("weight_decay", "optimizer.weight_decay", decay)
        else:
            block.ignored("weight_decay", "null is the default")
        return
    # build_optimizer leaves it to the class, which gets weight_decay twice then.
    block.refused("weight_decay", "must not come with a regularizer")
    _regularizer(block.block("regularizer"), name)


def _regularizer(block: Block, optimizer: str) -> None:
    given = block.get("name")
    name = given if given in REGULARIZERS else f"{given}Decay"
    if name not in REGULARIZERS:
        block.refused("name", "must be L1 or L2", required=True)
        return
    # Paddle's AdamW accepts only a number as its weight_decay, no regularizer.
    if name == "L1Decay" and optimizer == "AdamW":
        block.refused("name", "must be L2 for AdamW: Paddle's AdamW takes a number alone")
        return
    table = REGULARIZERS[name]
    field = "optimizer.l1" if table.kind == "l1" else "optimizer.weight_decay"
    block.converted("name", field, 0.0, reason="its factor is 0 by default")
    table.read(block, name, "PaddleOCR")


def _clip(block: Block) -> None:
    kinds = {"clip_norm": "norm", "clip_norm_global": "global_norm"}
    given = [key for key in kinds if key in block]
    for key in given[:1]:
        clip = {"kind": kinds[key], "max": block.number(key)}
        block.converted(key, "optimizer.clip", clip)
    for key in given[1:]:
        block.ignored(key, "PaddleOCR takes clip_norm where both are given")


# What stands under Global and is read for other ends. Another key whose name says that it may be
# about the optimization is refused.
SUSPICIOUS = re.compile(
    r"(^|_)(amp|ema|lr|swa|fp16|bf16|grad|gradient|accum\w*|optim\w*|decay|warmup|scale|clip)(_|$)",
    re.IGNORECASE,
)
FROM_ELSEWHERE = {
    "seed": "the random numbers of another framework differ for the same seed",
    "checkpoints": "it says where a run is continued, not how it trains",
    "pretrained_model": "it names the weights to begin with",
}


def _rest_of_the_run(run: Block) -> None:
    for key in run.left():
        if key in FROM_ELSEWHERE:
            run.other(key, FROM_ELSEWHERE[key])
        elif SUSPICIOUS.search(key):
            run.refused(key, "is not known, and may be about the optimization")
        else:
            run.other(key, "not about the optimization")


def _rest_of_the_file(file: Block) -> None:
    _loaders(file)
    if isinstance(file.get("Architecture"), Mapping):
        _architecture(file.block("Architecture"))
    for key in file.left():
        if SUSPICIOUS.search(key):
            file.refused(key, "is not known, and may be about the optimization")
        elif key not in ("Global", "Optimizer"):
            _others(file, key)


def _others(file: Block, key: str) -> None:
    """Name what is left in the block *key*, or *key* itself, as not about the optimization."""
    if not isinstance(file.get(key), Mapping) or not file.get(key):
        file.other(key, "not about the optimization")
        return
    inner = file.block(key)
    for each in inner.left():
        _others(inner, each)


def _loaders(file: Block) -> None:
    loader = file.get("Train")
    if not isinstance(loader, Mapping) or not isinstance(loader.get("loader"), Mapping):
        return
    inner = file.block("Train").block("loader")
    size = "batch_size_per_card"
    inner.other(size, "times the number of cards, it is the job's dataset.batch_size", tell=True)


def _architecture(block: Block) -> None:
    """Tell what a model's own block says of its parameters' lr and decay."""
    for key in list(block):
        value = block.get(key)
        if isinstance(value, Mapping) and value:
            _architecture(block.block(key))
        elif key == "fc_decay":
            block.other(key, "the head's own weight decay: a group of the job says it", tell=True)
        elif key == "lr_mult_list":
            block.other(key, "factors of lr by stage: groups of the job say them", tell=True)
        elif key == "freeze_params" and value:
            block.other(key, "these parameters are not trained", tell=True)
        else:
            block.other(key, "not about the optimization")


def _fits(config: Mapping[str, Any]) -> bool:
    run, block = config.get("Global"), config.get("Optimizer")
    own = "Architecture" in config or (isinstance(run, Mapping) and "epoch_num" in run)
    return own and isinstance(block, Mapping)


SOURCE = Source(
    "paddleocr",
    "a PaddleOCR configuration",
    "a block Optimizer, and Global.epoch_num or a block Architecture",
    _fits,
    convert,
)
