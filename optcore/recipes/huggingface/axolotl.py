"""
Convert a configuration of Axolotl 0.15: Trainer's arguments under Axolotl's own names.

The file src/axolotl/core/builders/base.py of Axolotl shows which keys reach TrainingArguments.

The parameters of an adapter are float32 (PEFT). Without an adapter, norms and embeddings are
float32 if the attention allows this precision (`_configure_embedding_dtypes` in loaders/model.py).
All other parameters have the precision of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import others
from optcore.recipes.huggingface.arguments import (
    Length,
    convert_precision,
    convert_run,
    convert_schedule,
    is_on,
    share_of,
    steps_of,
)
from optcore.recipes.huggingface.axolotl_keys import FUSED_LOSS, OTHERS, UNREAD
from optcore.recipes.huggingface.optimizers import Names
from optcore.recipes.huggingface.trainer import refuse_what_replaces
from optcore.recipes.source import Source

NAMES = Names(
    by="Axolotl",
    optimizer="optimizer",
    scheduler="lr_scheduler",
    epochs="num_epochs",
    batch="micro_batch_size",
    default_scheduler="cosine",
    default_epochs=1.0,
)
DEFAULT_RATIO, DEFAULT_MOST = 0.03, 100
REFUSED = {
    "lr_groups": "gives modules an lr of their own, by the names of the model",
    "embedding_lr": "gives the embeddings an lr of their own",
    "embedding_lr_scale": "gives the embeddings an lr of their own",
    "loraplus_lr_ratio": "gives the matrices B of LoRA an lr of their own",
    "relora": "resets the optimizer and merges the adapter during the run",
    "relora_steps": "resets the optimizer and merges the adapter during the run",
    "jagged_restart_steps": "drops the lr and raises it again",
    "lr_quadratic_warmup": "rises with the square of the step",
    "lisa_step_interval": "trains other layers in each interval",
    "trainer_cls": "is a trainer of its own",
}
ADAPTERS = {"lora", "qlora", "llama-adapter"}
ATTENTION = (
    *("xformers_attention", "sage_attention", "flex_attention", "flash_attention"),
    "gemma4_hybrid_attn_impl",
)
"""Flags for attention that needs norms and embeddings in the precision of the model."""
MIXED = "holds norms and embeddings in float32 beside the 16 bits of the other parameters"


def convert(file: Block) -> None:
    """Convert *file*, a whole Axolotl configuration."""
    convert_run(file, NAMES)
    _batch(file)
    _schedule(file)
    _precision(file)
    for name, reason in REFUSED.items():
        if is_on(file, name):
            file.refused(name, reason)
        file.other(name, "it is off")
    refuse_what_replaces(file)
    _plugins(file)
    for name in UNREAD:
        file.ignored(name, "Axolotl does not read it")
    others(file, OTHERS)


def _batch(file: Block) -> None:
    """Convert batch_size, which is micro_batch_size times the number of accumulated batches."""
    if not file.given("batch_size"):
        file.other("batch_size", "it is off")
        return
    if file.given("gradient_accumulation_steps"):
        file.ignored("batch_size", "gradient_accumulation_steps is given")
        return
    steps = file.whole("batch_size") // file.whole("micro_batch_size", 1)
    file.converted("batch_size", "training.accumulate", max(1, steps))


def _schedule(file: Block) -> None:
    name = str(file.get("lr_scheduler") or "cosine")
    length, key = _warmup(file)
    ratio = file.get("cosine_min_lr_ratio")
    if name in ("one_cycle", "rex"):
        file.refused("lr_scheduler", "is a schedule of Axolotl's own")
    else:
        convert_schedule(file, NAMES, length, (key,))
    for other in ("warmup_steps", "warmup_ratio"):
        if other != key:
            file.ignored(other, f"{key} is used")
    if ratio and name == "cosine":
        _least(file, float(file.number("cosine_min_lr_ratio")))
    for key in ("cosine_min_lr_ratio", "cosine_constant_lr_ratio"):
        file.ignored(key, "0 and null are no ratio, and only the cosine reads one")


def _least(file: Block, ratio: float) -> None:
    """
    Convert cosine_min_lr_ratio, whose value is *ratio*: the last lr of the cosine, divided by lr.

    The key cosine_constant_lr_ratio, which ends the cosine before the run, is refused.
    """
    file.converted("cosine_min_lr_ratio", "schedule.end_fraction", ratio)
    if file.get("cosine_constant_lr_ratio"):
        file.refused("cosine_constant_lr_ratio", "ends the cosine before the run, after the warmup")


def _warmup(file: Block) -> tuple[Length, str]:
    """
    Return the length of the warmup, and the key that the length comes from.

    A warmup_steps from 1 on is a number of steps; below 1, it is a share of the run. A warmup_ratio
    is always a share of the run. As in Axolotl, a number of steps from either key is at least 2,
    but a share in warmup_steps has no such limit.
    """
    steps = steps_of(file)
    if file.given("warmup_steps"):
        given = float(file.number("warmup_steps"))
        if given >= 1:
            return max(2, int(given)), "warmup_steps"
        return share_of(given, steps, math.ceil, "up"), "warmup_steps"
    ratio = float(file.number("warmup_ratio")) if file.given("warmup_ratio") else DEFAULT_RATIO
    length = share_of(ratio, steps, math.floor, "down")
    if isinstance(length, int):
        most = length if file.given("warmup_ratio") else DEFAULT_MOST
        return max(2, min(length, most)), "warmup_ratio"
    return length, "warmup_ratio"


def _precision(file: Block) -> None:
    if file.given("fp16") or not (is_on(file, "float16") or is_on(file, "bfloat16")):
        others(file, ("float16", "bfloat16"), "it is off")
    for name in ("float16", "bfloat16"):
        if is_on(file, name):
            file.refused(name, "loads the parameters in this precision, besides bf16 and fp16")
        file.other(name, "it is off")
    if file.get("bf16") == "full":
        file.refused("bf16", "must be true, false or auto")
    if not is_on(file, "bf16"):
        convert_precision(file)
    elif file.get("adapter") in ADAPTERS:
        _adapter(file)
    elif is_on(file, "fsdp") or is_on(file, "fsdp_config") or is_on(file, "deepspeed"):
        convert_precision(file)
    else:
        _refuse_mixed(file)
        _narrow(file)


def _narrow(file: Block) -> None:
    file.converted("bf16", "training.precision", "bf16_true")
    file.ignored("fp16", "bf16 is on")


def _adapter(file: Block) -> None:
    if file.get("lora_modules_to_save"):
        file.refused("lora_modules_to_save", "trains modules in 16 bits beside a float32 adapter")
    if file.get("peft_autocast_adapter_dtype") is False:
        _narrow(file)
    else:
        convert_precision(file)


def _refuse_mixed(file: Block) -> None:
    """Refuse a file if Axolotl would train some parameters in float32, the others in bfloat16."""
    if is_on(file, "fp32_norms"):
        file.refused("fp32_norms", "holds norms in float32 beside the 16 bits of the others")
    plugins = str(file.get("plugins"))
    fused = is_on(file, FUSED_LOSS) or (FUSED_LOSS in plugins and file.get(FUSED_LOSS) is not False)
    needed = file.get("attn_implementation") not in (None, "eager", "sdpa")
    if not (fused or needed or any(is_on(file, name) for name in ATTENTION)):
        key = "attn_implementation"
        file.refused(
            key, f"must be given, as flash_attention_2: else Axolotl {MIXED}", required=True
        )


def _plugins(file: Block) -> None:
    names = file.get("plugins") or []
    ours = isinstance(names, list) and all(
        str(name).startswith("axolotl.integrations.") for name in names
    )
    if not ours:
        file.refused("plugins", "may bring an optimizer or a schedule")
    file.other("plugins", "kernels and losses of Axolotl")


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has the keys that every Axolotl configuration has."""
    return "base_model" in config and "micro_batch_size" in config


SOURCE = Source(
    name="axolotl",
    title="an Axolotl configuration",
    sign="the keys base_model and micro_batch_size",
    fits=fits,
    convert=convert,
)
