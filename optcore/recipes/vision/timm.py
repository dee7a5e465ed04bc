"""
Convert the arguments of timm's train.py, release 1.0: its args.yaml, or a command line.

lr changes once per epoch; with sched_on_updates, it changes at every update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import only, others, set_value
from optcore.recipes.source import Source
from optcore.recipes.vision.command_line import parse_command
from optcore.recipes.vision.timm_keys import ALIASES, FLAGS, LISTS, OTHERS
from optcore.recipes.vision.timm_optimizers import convert_optimizer
from optcore.recipes.vision.timm_schedules import convert_schedule

BY = "train.py"
BATCH = "times the number of devices, it is the job's dataset.batch_size"


def convert(file: Block) -> None:
    """Convert *file*, the arguments of train.py."""
    lr = _lr(file)
    convert_schedule(file, lr)
    convert_optimizer(file)
    _precision(file)
    _average(file)
    steps = file.whole("grad_accum_steps", 1)
    set_value(file, "grad_accum_steps", "training.accumulate", max(1, steps), BY)
    file.other("batch_size", BATCH, tell=True)
    only(file, "start_epoch", (None, 0), "begins within the schedule", "the run begins at 0")
    others(file, OTHERS)


def _lr(file: Block) -> float:
    if not file.given("lr"):
        why = "must be given: train.py computes it from lr_base and the batch of all processes"
        file.refused("lr", why, required=True)
        others(file, ("lr_base", "lr_base_size", "lr_base_scale"), "see lr")
        return 1.0
    lr = float(file.number("lr"))
    file.converted("lr", "optimizer.lr", lr)
    for name in ("lr_base", "lr_base_size", "lr_base_scale"):
        file.ignored(name, "lr is given")
    return lr


def _precision(file: Block) -> None:
    narrow = file.get("amp_dtype", "float16") == "bfloat16"
    on = any(file.get(name) for name in ("amp", "native_amp", "apex_amp"))
    if file.get("model_dtype") not in (None, "float32"):
        file.refused("model_dtype", "holds the parameters in fewer bits")
    file.other("model_dtype", "float32")
    for name in ("amp", "native_amp", "apex_amp"):
        if file.get(name):
            file.converted(name, "training.precision", "bf16" if narrow else "fp16")
        file.other(name, "it is off")
    if on:
        file.converted("amp_dtype", "training.precision", "bf16" if narrow else "fp16")
    file.other("amp_dtype", "read with amp")


def _average(file: Block) -> None:
    keys = ("model_ema_decay", "model_ema_warmup", "model_ema_force_cpu")
    if not file.get("model_ema"):
        others(file, ("model_ema", *keys), "there is no average")
        return
    if file.get("model_ema_warmup"):
        file.converted("model_ema_warmup", "training.ema.power", 2 / 3)
    decay = float(file.number("model_ema_decay", 0.9998))
    file.converted("model_ema", "training.ema.kind", "shadow")
    set_value(file, "model_ema_decay", "training.ema.decay", decay, BY)
    file.result.default("training.ema.begin", 1, "ModelEmaV3 copies the weights at first")
    others(file, keys, "it is off")


def parse(text: str) -> Mapping[str, Any] | None:
    """Return the arguments in *text*, a command line or a shell script."""
    return parse_command(text, aliases=ALIASES, flags=FLAGS, lists=LISTS)


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has keys that only timm's arguments have."""
    own = ("sched", "opt_eps", "lr_base", "warmup_lr", "drop_path", "reprob", "smoothing")
    return "model" in config and any(key in config for key in own)


SOURCE = Source(
    name="timm",
    title="arguments of timm's train.py",
    sign="the key model and one of sched, warmup_lr, lr_base, opt_eps, reprob",
    fits=fits,
    convert=convert,
    parse=parse,
)
