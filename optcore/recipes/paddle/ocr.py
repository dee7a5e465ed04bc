"""
Convert the keys of a PaddleOCR configuration that ppocr/optimizer and tools/train.py read.

Source: PaddleOCR main of 2026 (with paddlepaddle 3.3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.paddle.amp import convert_amp
from optcore.recipes.paddle.ocr_lr import convert_lr
from optcore.recipes.paddle.rest import name_rest, refuse_name, tell_architecture
from optcore.recipes.source import Source
from optcore.recipes.table import ClassTable, flag, ignored, number, text

NOT_USED = "PaddleOCR stores it and does not use it"
DENSE = "it affects only row-sparse gradients, which a job does not have"


def _group_lr(block: Block, key: str) -> None:
    if block.get(key):
        block.refused(key, "gives parts of VisionLAN an lr of their own, by their names")
    else:
        block.ignored(key, "it is off")


# Momentum, Adam, RMSProp and Adadelta accept multi_precision, centered and so on without using
# them.
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
"""Class in ppocr/optimizer/optimizer.py -> the keys that it reads, besides lr, decay and clip."""


def _l1(block: Block, key: str) -> None:
    block.converted(key, "optimizer.l1", block.number(key))


REGULARIZERS: dict[str, ClassTable] = {
    "L1Decay": ClassTable("l1", {"factor": _l1}, swallows=False),
    "L2Decay": ClassTable("l2", {"factor": number("optimizer.weight_decay")}, swallows=False),
}
"""Class in ppocr/optimizer/regularizer.py -> the keys that it reads."""

ARGUMENTS = {
    "learning_rate": "raises TypeError in PaddleOCR: it comes from Optimizer.lr",
    "grad_clip": "raises TypeError in PaddleOCR: it comes from clip_norm",
    "parameters": "raises TypeError in PaddleOCR",
}
"""Keyword that build_optimizer passes itself -> why the key is refused."""


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
    run.ignored("start_ema", "PaddleOCR does not read it")
    _loaders(file)
    tell_architecture(file, "Architecture")
    name_rest(file)


def _optimizer(block: Block, epochs: float | None) -> None:
    name = block.get("name")
    if name not in OPTIMIZERS:
        refuse_name(block, OPTIMIZERS)
        return
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
    # build_optimizer does not remove weight_decay, so that the class gets it twice.
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
        block.refused("name", "must be L2 for AdamW: Paddle's AdamW takes only a number")
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


def _loaders(file: Block) -> None:
    loader = file.get("Train")
    if not isinstance(loader, Mapping) or not isinstance(loader.get("loader"), Mapping):
        return
    inner = file.block("Train").block("loader")
    size = "batch_size_per_card"
    inner.other(size, "times the number of cards, it is the job's dataset.batch_size", tell=True)


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
