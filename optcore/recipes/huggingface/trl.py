"""
Convert a configuration of the scripts of TRL 1.10 (trl/scripts), alignment-handbook or open-r1.

Such a configuration has the arguments of Trainer and those of the model.

Without an adapter, the trained parameters have the precision in which the model is loaded (dtype,
formerly torch_dtype). With an adapter, they are float32, or bfloat16 if the model is quantized.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import others
from optcore.recipes.huggingface import trainer
from optcore.recipes.huggingface.arguments import convert_precision, convert_run, is_on
from optcore.recipes.huggingface.trl_keys import OTHERS
from optcore.recipes.source import Source

NAMES = replace(trainer.NAMES, by="TRL", default_lr=None)
LOADED = ("dtype", "torch_dtype", "load_in_4bit", "load_in_8bit", "use_peft")
OWN = (
    *("dataset_mixer", "dataset_mixture", "dataset_num_proc", "dataset_splits"),
    *("dataset_test_split", "dataset_text_field", "dataset_train_split", "attn_implementation"),
    *("use_peft", "max_prompt_length", "num_generations", "assistant_only_loss", "padding_free"),
)
"""Keys that TRL's scripts have, and that transformers' own examples do not have."""


def convert(file: Block) -> None:
    """Convert *file*, the arguments of one of TRL's scripts."""
    if not file.given("learning_rate"):
        why = "must be given: its default differs between TRL's trainers"
        file.refused("learning_rate", why, required=True)
    convert_run(file, NAMES)
    trainer.convert_warmed_schedule(file, NAMES)
    _precision(file)
    if file.given("model_init_kwargs"):
        file.refused("model_init_kwargs", "may load the parameters in another precision")
    file.other("model_init_kwargs", "it is empty")
    if is_on(file, "use_unsloth"):
        file.refused("use_unsloth", "trains with the functions of another library")
    file.other("use_unsloth", "it is off")
    trainer.refuse_what_replaces(file)
    others(file, (*trainer.OTHERS, *OTHERS))


def _precision(file: Block) -> None:
    parameters = _parameters(file)
    if not file.given("bf16") and not is_on(file, "fp16"):
        why = "must be given: it is on by default in TRL 1.10, and was off before"
        file.refused("bf16", why, required=True)
    elif parameters == "float32":
        convert_precision(file)
    elif is_on(file, "fp16") and not is_on(file, "bf16"):
        file.refused("fp16", "needs float32 parameters: GradScaler takes no others")
    else:
        why = "the trained parameters are bfloat16"
        file.converted("bf16", "training.precision", "bf16_true", reason=why)
        file.ignored("fp16", "bf16 is on")
    others(file, LOADED, f"with these keys the trained parameters are {parameters}")
    _head(file, parameters)


def _parameters(file: Block) -> str:
    """Return the precision of the trained parameters: float32 or bfloat16. Refuse any other."""
    key = "dtype" if "dtype" in file else "torch_dtype"
    # null of torch_dtype is for transformers 4, which has that key, and is float32 there.
    default = None if key in file and key == "dtype" else "float32"
    given = file.get(key) or default
    if is_on(file, "use_peft"):
        copies = file.given("lora_modules_to_save")
        if copies and given != "float32":
            file.refused("lora_modules_to_save", "are trained in the precision of the model")
        file.other("lora_modules_to_save", "float32, as the adapter")
        return "bfloat16" if _quantized(file) else "float32"
    file.ignored("lora_modules_to_save", "there is no adapter")
    if given not in ("float32", "bfloat16"):
        why = "must be float32 or bfloat16: the parameters are loaded in this precision"
        file.refused(key, why, required=True)
    return str(given)


def _quantized(file: Block) -> bool:
    return is_on(file, "load_in_4bit") or is_on(file, "load_in_8bit")


def _head(file: Block, parameters: str) -> None:
    if is_on(file, "cast_lm_head_to_fp32") and parameters != "float32":
        file.refused("cast_lm_head_to_fp32", "holds one layer in float32 beside bfloat16")
    file.other("cast_lm_head_to_fp32", "the layer has the precision of the others")


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has Trainer's keys, a model, and keys that only TRL has."""
    trained = any(key in config for key in trainer.OWN)
    model = "model_name_or_path" in config and "stage" not in config
    return trained and model and any(key in config for key in OWN)


SOURCE = Source(
    name="trl",
    title="arguments of TRL's scripts",
    sign="the keys of transformers, and model_name_or_path with keys such as dataset_mixture",
    fits=fits,
    convert=convert,
)
