"""
Convert the keys of a PaddleClas configuration that ppcls/optimizer and ppcls/engine read.

Source: PaddleClas develop d178931 of 2024 (with paddlepaddle 3.3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.paddle.amp import convert_amp
from optcore.recipes.paddle.clas_lr import convert_lr
from optcore.recipes.paddle.rest import name_rest, refuse_name, tell_architecture
from optcore.recipes.source import Source
from optcore.recipes.table import ClassTable, Read, flag, ignored, number, text
from optcore.spec.groups.globs import WILDCARDS

DENSE = "it affects only row-sparse gradients, which a job does not have"
NOT_USED = "PaddleClas stores it and does not use it"
FULL = "parameters are float32 already, so that no float32 copies are needed"

# Keys that exempt parameters from decay; `_no_decay` converts them for Momentum and RMSProp.
NO_DECAY = ("no_weight_decay_name", "one_dim_param_no_weight_decay")
BETAS: dict[str, Read] = {
    "beta1": number("optimizer.beta1"),
    "beta2": number("optimizer.beta2"),
    "epsilon": number("optimizer.eps"),
    "multi_precision": ignored(FULL),
}

OPTIMIZERS: dict[str, ClassTable] = {
    "SGD": ClassTable("sgd", {"multi_precision": ignored(FULL)}, swallows=False),
    "Momentum": ClassTable(
        "momentum",
        {
            "momentum": number("optimizer.momentum"),
            "use_nesterov": lambda block, key: block.converted(
                key, "optimizer.kind", "nesterov" if block.flag(key) else "momentum"
            ),
            "multi_precision": ignored(FULL),
        },
        ("momentum",),
        swallows=False,
    ),
    "Adam": ClassTable(
        "adam",
        {**BETAS, "parameter_list": ignored(NOT_USED), "lazy_mode": ignored(DENSE)},
        swallows=False,
    ),
    "RMSProp": ClassTable(
        "rmsprop",
        {
            "momentum": number("optimizer.momentum"),
            "rho": number("optimizer.rho"),
            "epsilon": number("optimizer.eps"),
            "multi_precision": ignored(NOT_USED),
        },
        swallows=False,
    ),
    # The only class that accepts any other keyword.
    "AdamW": ClassTable(
        "adamw",
        {
            **BETAS,
            "no_weight_decay_name": text("optimizer.no_weight_decay_name"),
            "one_dim_param_no_weight_decay": flag("optimizer.one_dim_param_no_weight_decay"),
        },
    ),
}
"""Class in ppcls/optimizer/optimizer.py -> the keys that it reads, besides lr, decay and clip."""

UNSAYABLE = {
    "AdamWDL": "it gives layers an lr by the numbers in their names: write a group layer_decay"
}
"""Class that cannot be converted -> the reason."""

FIXED: dict[str, dict[str, float]] = {"RMSProp": {"momentum": 0.0, "rho": 0.95, "eps": 1e-6}}
"""Class -> field -> PaddleClas's default, if it differs from Paddle's."""


def convert(file: Block) -> None:
    """Convert a whole PaddleClas configuration."""
    run = file.block("Global")
    epochs: float | None = None
    if run.given("epochs"):
        epochs = run.whole("epochs")
        run.converted("epochs", "training.epochs", epochs)
    if isinstance(file.get("Optimizer"), Mapping):
        _optimizer(file.block("Optimizer"), epochs)
    else:
        file.refused(
            "Optimizer", "must be one optimizer with a name: a job has only one", required=True
        )
    _amp(file)
    _ema(file)
    _accumulation(run)
    _data(file)
    tell_architecture(file, "Arch")
    name_rest(file)


def _optimizer(block: Block, epochs: float | None) -> None:
    name = block.get("name")
    if name not in OPTIMIZERS:
        refuse_name(block, OPTIMIZERS, UNSAYABLE)
        return
    table = OPTIMIZERS[name]
    block.converted("name", "optimizer.kind", table.kind)
    # The keys that exempt parameters from decay are those of PaddleOCR's AdamW, which computes the
    # same.
    dialect = "paddleocr" if name == "AdamW" else "paddle"
    block.result.default("optimizer.dialect", dialect, "the file is PaddleClas's")
    for field, value in FIXED.get(name, {}).items():
        block.result.default(f"optimizer.{field}", value, f"PaddleClas's default in {name}")
    if "lr" in block:
        convert_lr(block.block("lr"), epochs)
    else:
        block.refused("lr", "is required", required=True)
    _decay(block, name)
    if "clip_norm" in block:
        clip = {"kind": "norm", "max": block.number("clip_norm")}
        block.converted("clip_norm", "optimizer.clip", clip)
    if name in ("Momentum", "RMSProp"):
        _no_decay(block, name)
    for key in ("learning_rate", "grad_clip"):
        block.refused(key, "raises TypeError in PaddleClas, which passes it itself")
    table.read(block, name, "PaddleClas")


def _decay(block: Block, name: str) -> None:
    if block.given("regularizer"):
        block.ignored("weight_decay", "PaddleClas takes the regularizer where both are given")
        _regularizer(block.block("regularizer"), name)
        return
    block.ignored("regularizer", "null is no regularizer")
    if block.given("weight_decay"):
        decay = block.number("weight_decay")
        block.converted("weight_decay", "optimizer.weight_decay", decay)
    elif name == "AdamW":
        block.refused(
            "weight_decay", "is required for AdamW: Paddle's takes no null", required=True
        )
    else:
        block.ignored("weight_decay", "null is the default")


def _regularizer(block: Block, optimizer: str) -> None:
    fields = {"L1": "optimizer.l1", "L2": "optimizer.weight_decay"}
    name = block.get("name")
    if name not in fields:
        block.refused("name", "must be L1 or L2", required=True)
        return
    if optimizer == "AdamW":
        block.refused("name", "must not be given for AdamW: Paddle's takes weight_decay, a number")
        return
    block.converted("name", fields[name], 0.0, reason="its coeff is 0 by default")
    table = ClassTable("", {"coeff": number(fields[name])}, swallows=False)
    table.read(block, f"{name}Decay", "PaddleClas")


def _no_decay(block: Block, name: str) -> None:
    """
    Convert the keys in `NO_DECAY` for *name*, ``RMSProp`` or ``Momentum``.

    The two keys exempt parameters from weight decay. For RMSProp, they become groups without decay.
    For Momentum, no_weight_decay_name is refused if it names parameters. If it names none, neither
    key has an effect.
    """
    if name == "Momentum":
        _no_decay_in_momentum(block)
        return
    names = block.text(NO_DECAY[0]).split() if block.given(NO_DECAY[0]) else []
    if any(sign in each for each in names for sign in WILDCARDS):
        block.refused(NO_DECAY[0], f"must have none of {' '.join(WILDCARDS)}")
    groups: list[dict[str, Any]] = []
    if names:
        groups.append({"match": {"name": [f"*{each}*" for each in names]}, "weight_decay": 0.0})
    if block.flag(NO_DECAY[1], False):
        groups.append({"match": {"ndim": 1}, "weight_decay": 0.0})
    for key in NO_DECAY:
        if block.get(key):
            block.converted(key, "optimizer.groups", groups)
        else:
            block.ignored(key, "it names no parameters")


def _no_decay_in_momentum(block: Block) -> None:
    # PaddleClas makes Momentum twice, and the second one gets the groups without their decay, as
    # the first one has left them.
    if block.get(NO_DECAY[0]):
        block.refused(
            NO_DECAY[0],
            "takes the decay from all parameters: PaddleClas makes Momentum twice of one list of "
            "groups. Leave it out, and write groups in the job",
        )
    block.ignored(NO_DECAY[0], "it names no parameters")
    block.ignored(NO_DECAY[1], "Momentum uses it where no_weight_decay_name is given")


def _amp(file: Block) -> None:
    """Convert the block AMP, whose use_amp is on by default."""
    block = file.block("AMP")
    block.other("use_fp16_test", "about evaluations")
    block.other("use_promote", "torch's autocast chooses the operations of a job")
    if file.get("AMP"):
        convert_amp(block, level="O1", on=True, prefix="")


def _ema(file: Block) -> None:
    """Convert the block EMA, a moving average of the weights that does not affect the training."""
    if "EMA" not in file:
        return
    if not file.get("EMA"):
        file.converted("EMA", "training.ema", {"decay": 0.9999}, reason="PaddleClas's default")
        return
    block = file.block("EMA")
    ClassTable("", {"decay": number("training.ema.decay")}).read(block, "EMA", "PaddleClas")
    if "decay" not in block:
        file.result.default("training.ema.decay", 0.9999, "PaddleClas's default")


def _accumulation(run: Block) -> None:
    if "update_freq" in run:
        reason = "PaddleClas leaves out the batches after the last update of an epoch"
        batches = run.whole("update_freq")
        run.converted("update_freq", "training.accumulate", batches, reason=reason)
    run.other("iter_per_epoch", "the number of batches in an epoch is that of the data", tell=True)


def _data(file: Block) -> None:
    """Tell the user that the batch size in the file is the number of examples per card."""
    place = file
    for key in ("DataLoader", "Train", "sampler"):
        if not isinstance(place.get(key), Mapping) or not place.get(key):
            return
        place = place.block(key)
    size = "batch_size"
    place.other(size, "times the number of cards, it is the job's dataset.batch_size", tell=True)


def _fits(config: Mapping[str, Any]) -> bool:
    run = config.get("Global")
    own = any(key in config for key in ("Arch", "DataLoader"))
    own = own or (isinstance(run, Mapping) and "epochs" in run)
    return own and isinstance(config.get("Optimizer"), Mapping | list)


SOURCE = Source(
    "paddleclas",
    "a PaddleClas configuration",
    "a block Optimizer, and Global.epochs or a block Arch or DataLoader",
    _fits,
    convert,
)
