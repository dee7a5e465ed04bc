"""
Convert the arguments of ``create_optimizer``, which mindcv and mindocr share.

Sources: mindcv/optim in mindcv 0.5, mindocr/optim in mindocr 0.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optcore.recipes.block import Block
from optcore.recipes.defaults import ignore, set_number, set_value

UNREAD = "this optimizer does not read it"
AMP = {"O0": "fp32", "O1": "mindspore_o1", "O2": "mindspore_o2", "O3": "mindspore_o3"}
"""Level -> precision. Parameters, gradients and slots are float32 at each level."""
RAMP = 2000.0
NO_DECAY = {"preset": "no_decay_norm_bias", "weight_decay": 0.0}
NORMS = {"match": {"module": ["batch_norm"]}, "weight_decay": 0.0}
"""The group that MindSpore's optimizers exempt: names with beta or gamma, which norms have."""


@dataclass(frozen=True)
class Options:
    """
    The names and defaults of the arguments of ``create_optimizer`` in one framework.

    Attributes:
        by: name of the framework.
        opt: default of the key ``opt``, the name of the optimizer.
        weight_decay: default of the key ``weight_decay``.
        nesterov: key for Nesterov's momentum.
        more: whether the framework passes beta1, beta2 and further keys to the optimizer's class.
    """

    by: str
    opt: str
    weight_decay: float
    nesterov: str
    more: bool


Kind = Callable[[Block, Options], None]


def convert_optimizer(block: Block, options: Options) -> None:
    """Convert the arguments of create_optimizer in *block*, except lr, to an optimizer."""
    given = block.get("opt", options.opt)
    kind = KINDS.get(str(given).lower())
    if kind is None:
        block.refused("opt", f"must be one of {', '.join(KINDS)}", required=True)
        return
    kind(block, options)
    set_number(block, "weight_decay", "optimizer.weight_decay", options.weight_decay, options.by)
    ignore(block, ("momentum", options.nesterov, "eps", "beta1", "beta2"), UNREAD)


def _named(block: Block, options: Options, kind: str, dialect: str, why: str = "") -> None:
    set_value(block, "opt", "optimizer.kind", kind, options.by)
    why = why or "the class of MindSpore"
    block.result.default("optimizer.dialect", dialect, why)


def _momentum(block: Block, options: Options) -> None:
    momentum = float(block.number("momentum", 0.9))
    nesterov = block.flag(options.nesterov, False)
    kind = "sgd" if momentum == 0 else "nesterov" if nesterov else "momentum"
    _named(block, options, kind, "mindspore")
    block.converted(options.nesterov, "optimizer.kind", kind)
    if momentum == 0:
        block.ignored("momentum", "it is 0")
    else:
        set_value(block, "momentum", "optimizer.momentum", momentum, options.by)


def _sgd(block: Block, options: Options) -> None:
    if options.more and (block.given("dampening") or block.given("weight_decay_mode")):
        block.refused("dampening", "is not converted")
    _momentum(block, options)


def _adam(block: Block, options: Options) -> None:
    _named(block, options, "adam", "mindspore")
    set_value(
        block,
        options.nesterov,
        "optimizer.nesterov",
        block.flag(options.nesterov, False),
        options.by,
    )
    _betas(block, options)


def _adamw(block: Block, options: Options) -> None:
    _named(block, options, "adamw", "mindspore", f"{options.by}'s own class AdamW")
    _betas(block, options)


def _betas(block: Block, options: Options) -> None:
    if not options.more:
        return
    for name in ("beta1", "beta2", "eps"):
        # create_optimizer has an argument eps of its own, which only RMSProp gets.
        if name in block and name != "eps":
            block.converted(name, f"optimizer.{name}", float(block.number(name)))


def _lion(block: Block, options: Options) -> None:
    _named(block, options, "lion", "mindspore", f"{options.by}'s own class Lion")
    _betas(block, options)


def _rmsprop(block: Block, options: Options) -> None:
    _named(block, options, "rmsprop", "mindspore")
    set_number(block, "momentum", "optimizer.momentum", 0.9, options.by)
    set_number(block, "eps", "optimizer.eps", 1e-10, options.by)


def _adagrad(block: Block, options: Options) -> None:
    _named(block, options, "adagrad", "mindspore")


def _not_here(block: Block, options: Options) -> None:
    block.refused("opt", "has no exactly equivalent optimizer", required=True)


KINDS: Mapping[str, Kind] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _momentum,
    "adam": _adam,
    "adamw": _adamw,
    "lion": _lion,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "lamb": _not_here,
    "nadam": _not_here,
    "adan": _not_here,
}


def convert_average(block: Block) -> None:
    """Convert the moving average, whose decay is ema_decay * (1 - exp(-t / 2000)) at update t."""
    block.converted("ema", "training.ema.kind", "shadow")
    decay = float(block.number("ema_decay", 0.9999))
    set_value(block, "ema_decay", "training.ema.decay", decay, "create_trainer")
    block.result.default("training.ema.ramp", RAMP, "the decay rises with 1 - exp(-t / 2000)")


def convert_precision(block: Block, name: str = "amp_level") -> str:
    """Convert the key *name*, a level of mixed precision (O0 to O3), and return the level."""
    level = str(block.get(name, "O0"))
    if level not in AMP:
        block.refused(name, "must be O0, O1, O2 or O3")
    else:
        block.converted(name, "training.precision", AMP[level])
    return level
