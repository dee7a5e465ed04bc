"""Convert the optimizers of transformers' Trainer (transformers 5.24, trainer_optimizer.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optcore.recipes.block import Block
from optcore.recipes.defaults import set_number, set_value
from optcore.spec.optimizers.state_bits import CODE_BITS

NO_DECAY = {"preset": "no_decay_norm_bias", "weight_decay": 0.0}
"""Trainer exempts biases and the parameters of norms from weight decay."""
ADAMW = {
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_torch_xla",
    "adamw_torch_npu_fused",
    # By default it has float32 moments and no Kahan summation, so it equals torch's AdamW.
    "adamw_anyprecision",
}
BITSANDBYTES = {
    "adamw_bnb_8bit": ("adamw", 8),
    "adamw_8bit": ("adamw", 8),
    "paged_adamw": ("adamw", 32),
    "paged_adamw_32bit": ("adamw", 32),
    "paged_adamw_8bit": ("adamw", 8),
    "lion_32bit": ("lion", 32),
    "lion_8bit": ("lion", 8),
    "paged_lion_32bit": ("lion", 32),
    "paged_lion_8bit": ("lion", 8),
}
"""Optimizers of bitsandbytes: our kind, and the bits of their state. Paged ones may move their
state to the memory of the host, which changes no number."""
TORCHAO = {"adamw_torch_8bit", "adamw_torch_4bit", "ao_adamw_8bit", "ao_adamw_4bit", "ao_adamw_fp8"}
"""Optimizers of torchao, whose codes, blocks and rounding differ from those of bitsandbytes."""
PLAIN = {"sgd": "sgd", "adagrad": "adagrad", "rmsprop": "rmsprop"}
NARROW = ("8bit", "4bit", "fp8")
ADAM_ARGUMENTS: Mapping[str, tuple[str, float]] = {
    "adam_beta1": ("beta1", 0.9),
    "adam_beta2": ("beta2", 0.999),
    "adam_epsilon": ("eps", 1e-8),
}
"""Arguments of Trainer: our field, and the default of Trainer, whatever the optimizer's own is."""


@dataclass(frozen=True)
class Names:
    """
    The names of keys and the defaults of one framework, where the frameworks differ.

    Attributes:
        by: name of the framework.
        optimizer: key for the optimizer.
        scheduler: key for the schedule.
        epochs: key for the number of epochs.
        batch: key for the batch size.
        default_scheduler: name of the schedule if the file lacks its key.
        default_epochs: number of epochs if the file lacks its key.
        default_lr: learning rate if the file lacks its key; None if the key is required.
        default_optimizer: name of the optimizer if the file lacks its key.
    """

    by: str
    optimizer: str
    scheduler: str
    epochs: str
    batch: str
    default_scheduler: str
    default_epochs: float
    default_lr: float | None = None
    default_optimizer: str = "adamw_torch_fused"


def convert_optimizer(block: Block, names: Names) -> None:
    """Convert the optimizer with its arguments, its weight decay and its groups."""
    name = str(block.get(names.optimizer) or names.default_optimizer)
    decay = float(block.number("weight_decay", 0.0)) if block.given("weight_decay") else 0.0
    dialect = "torch"
    if name in ADAMW:
        set_value(block, names.optimizer, "optimizer.kind", "adamw", names.by)
        _adam(block, names)
    elif name in BITSANDBYTES:
        dialect = "bitsandbytes"
        _bitsandbytes(block, names, *BITSANDBYTES[name])
    elif name in PLAIN:
        set_value(block, names.optimizer, "optimizer.kind", PLAIN[name], names.by)
        for key in ("adam_beta1", "adam_beta2", "adam_epsilon"):
            block.ignored(key, f"{name} does not read it")
    else:
        block.refused(names.optimizer, _why_not(name), required=True)
        for key in ("adam_beta1", "adam_beta2", "adam_epsilon"):
            block.ignored(key, "the optimizer is refused")
    _arguments(block)
    block.result.default("optimizer.dialect", dialect, f"the class of {dialect}, or its formula")
    set_value(block, "weight_decay", "optimizer.weight_decay", decay, names.by)
    if decay:
        why = "Trainer exempts norms and biases"
        block.result.default("optimizer.groups", [NO_DECAY], why)


def _adam(block: Block, names: Names, *, unused: str = "") -> None:
    """Convert the keys of Adam's arguments; record *unused*, a key without effect, as ignored."""
    for key, (field, default) in ADAM_ARGUMENTS.items():
        if key == unused:
            block.ignored(key, "Lion has no epsilon")
        elif block.given(key) or key not in block:
            set_number(block, key, f"optimizer.{field}", default, names.by)
        else:
            block.result.default(f"optimizer.{field}", default, "the default of Trainer")
            block.other(key, "null is the default of Trainer")


def _bitsandbytes(block: Block, names: Names, kind: str, bits: int) -> None:
    set_value(block, names.optimizer, "optimizer.kind", kind, names.by)
    set_value(block, names.optimizer, "optimizer.state_bits", bits, names.by)
    if bits == CODE_BITS:
        why = "Trainer keeps the state of embeddings in 32 bits"
        block.result.default("optimizer.embeddings_32bit", True, why)
    # Trainer gives Lion the betas of Adam, too.
    _adam(block, names, unused="adam_epsilon" if kind == "lion" else "")


def _arguments(block: Block) -> None:
    given = block.get("optim_args")
    if given:
        block.refused("optim_args", "is not converted")
    else:
        block.other("optim_args", "it is empty")


def _why_not(name: str) -> str:
    if name in TORCHAO:
        return "is an optimizer of torchao, which has no exactly equivalent optimizer"
    if any(part in name for part in NARROW):
        return "keeps its state in fewer bits, which changes every update"
    return "has no exactly equivalent optimizer"
