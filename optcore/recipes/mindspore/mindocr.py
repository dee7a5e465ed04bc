"""
Convert a configuration of mindocr 0.4 (tools/train.py).

The blocks scheduler, optimizer and loss_scaler are converted. Of the blocks train and system, only
the keys about the training step are converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import ignore, only, others, set_number, words
from optcore.recipes.mindspore.optimizers import (
    NORMS,
    Options,
    convert_average,
    convert_optimizer,
    convert_precision,
)
from optcore.recipes.mindspore.schedules import Arguments, convert_schedule
from optcore.recipes.source import Source

OTHERS = words("common eval loss metric model postprocess predict name")
SYSTEM = words("""
    amp_level_infer ckpt_max_keep ckpt_save_policy device_id distribute log_interval mode
    refine_batch_size seed val_interval val_start_epoch val_while_train device_target
""")
TRAIN = words("ckpt_save_dir dataset dataset_sink_mode max_call_depth")
LOADER = words("""
    column_names drop_remainder max_rowsize num_workers prefetch_size python_multiprocessing shuffle
    num_parallel_workers
""")
ARGUMENTS = Arguments(
    by="mindocr",
    epochs="num_epochs",
    milestones="milestones",
    scheduler="constant",
    lr=0.01,
    num_epochs=200,
    decay_epochs=10,
    default_milestones=(),
)
OPTIONS = Options(by="mindocr", opt="adam", weight_decay=0.0, nesterov="nesterov", more=True)
STRATEGIES = ("svtr", "filter_norm_and_bias")
EVERYTHING = (
    "norms and biases decay too: their group has no weight_decay, and MindSpore gives it the "
    "optimizer's"
)
BATCH = "times the number of devices, it is the job's dataset.batch_size"


def convert(file: Block) -> None:
    """Convert *file*, a whole mindocr configuration."""
    convert_schedule(file.block("scheduler"), ARGUMENTS)
    optimizer = file.block("optimizer")
    convert_optimizer(optimizer, OPTIONS)
    _groups(optimizer)
    ignore(optimizer, ("clip_norm",), "mindocr reads train.clip_norm")
    system, train = file.block("system"), file.block("train")
    level = convert_precision(system)
    _loss(file, train, level)
    _loss_scale(file.block("loss_scaler"), system, train)
    _step(train)
    others(system, SYSTEM)
    others(train, TRAIN)
    others(file, OTHERS)


def _groups(optimizer: Block) -> None:
    """
    Convert the keys with which mindocr makes groups of parameters.

    The groups are meant to exempt norms and biases from weight decay, but all parameters decay.
    mindocr's group of exempt parameters has no ``weight_decay`` of its own, so that `nn.Optimizer`
    gives the group the weight decay of the optimizer. Without groups, MindSpore itself exempts
    norms.
    """
    strategy = optimizer.get("grouping_strategy")
    names = optimizer.get("no_weight_decay_params") or []
    unread = ("filter_bias_and_bn", "no_weight_decay_params")
    if strategy in STRATEGIES:
        _everything(optimizer, "grouping_strategy")
        ignore(optimizer, unread, "grouping_strategy wins")
    elif strategy is not None and not _is_without_groups(optimizer):
        optimizer.refused("grouping_strategy", "has groups by the names of mindocr's parameters")
        ignore(optimizer, unread, "grouping_strategy wins")
    elif strategy is None and names:
        _everything(optimizer, "no_weight_decay_params")
        ignore(optimizer, ("filter_bias_and_bn",), "no_weight_decay_params wins")
    else:
        optimizer.other("grouping_strategy", "no groups in this training step")
        optimizer.other("no_weight_decay_params", "it is not read, or empty")
        _filter(optimizer)
    optimizer.other("training_step", "read by visionlan's groups")


def _is_without_groups(optimizer: Block) -> bool:
    strategy, step = optimizer.get("grouping_strategy"), optimizer.get("training_step")
    return strategy == "visionlan" and step in ("LF_1", "LA")


def _everything(optimizer: Block, name: str) -> None:
    optimizer.converted(name, "optimizer.groups", [], reason=EVERYTHING, tell=True)


def _filter(optimizer: Block) -> None:
    """Convert filter_bias_and_bn, which mindocr reads only if no other key makes groups."""
    if not optimizer.number("weight_decay", 0.0):
        optimizer.ignored("filter_bias_and_bn", "weight_decay is 0")
    elif not optimizer.flag("filter_bias_and_bn", True):
        why = "without groups MindSpore exempts norms itself"
        optimizer.converted("filter_bias_and_bn", "optimizer.groups", [NORMS], reason=why)
    elif "filter_bias_and_bn" in optimizer:
        _everything(optimizer, "filter_bias_and_bn")
    else:
        optimizer.result.default("optimizer.groups", [], EVERYTHING)


def _loss(file: Block, train: Block, level: str) -> None:
    """Convert pred_cast_fp32, which says whether the loss is computed in float32."""
    if level == "O0" or train.flag("pred_cast_fp32", True):
        train.other("pred_cast_fp32", "the loss is computed in float32, as in a job")
    elif file.block("loss").get("name") == "CTCLoss":
        rounds = "CTCLoss computes in float32 and then rounds the loss to float16; a job does not"
        train.other("pred_cast_fp32", rounds, tell=True)
    else:
        train.refused("pred_cast_fp32", "must be true: a job computes the loss in float32")


SKIPS = {
    True: "a gradient that is not finite is skipped",
    False: "a job skips a gradient that is not finite; mindocr takes it, and the run is lost",
}


def _loss_scale(scaler: Block, system: Block, train: Block) -> None:
    drop = system.flag("drop_overflow_update", False)
    kind = scaler.get("type")
    at = "training.loss_scale"
    if kind == "dynamic":
        system.converted("drop_overflow_update", f"{at}.kind", "dynamic", reason=SKIPS[drop])
        scaler.converted("type", f"{at}.kind", "dynamic")
        scaler.converted("loss_scale", f"{at}.start", float(scaler.number("loss_scale")))
        factor = set_number(scaler, "scale_factor", f"{at}.growth", 2.0, "mindocr")
        scaler.converted("scale_factor", f"{at}.backoff", 1 / factor)
        window = scaler.whole("scale_window", 2000)
        scaler.converted("scale_window", f"{at}.window", window)
        return
    scale = float(scaler.number("loss_scale", 1.0)) if kind == "static" else 1.0
    if kind not in ("static", None):
        scaler.refused("type", "must be static or dynamic")
    fixed = {"kind": "fixed", "scale": scale, "drop_overflow": drop}
    scaler.converted("type", at, fixed)
    scaler.converted("loss_scale", f"{at}.scale", scale)
    scaler.result.set(at, fixed)
    system.converted("drop_overflow_update", f"{at}.drop_overflow", drop)
    ignore(scaler, ("scale_factor", "scale_window"), "a static scale does not move")


def _step(train: Block) -> None:
    refused = "changes lr at every batch, even between updates"
    only(train, "gradient_accumulation_steps", (None, 1), refused, "every batch is an update")
    if train.flag("ema", False):
        convert_average(train)
    train.other("ema", "it is off")
    train.ignored("ema_decay", "it is read with ema")
    if train.flag("clip_grad", False):
        largest = set_number(train, "clip_norm", "optimizer.clip.max", 1.0, "mindocr")
        train.result.set("optimizer.clip.max", largest)
        train.converted("clip_grad", "optimizer.clip.kind", "global_norm")
    else:
        train.other("clip_grad", "it is off")
        train.ignored("clip_norm", "clip_grad is off")
    loader = train.block("loader")
    loader.other("batch_size", BATCH, tell=True)
    others(loader, LOADER)


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has the blocks of mindocr's files."""
    return "scheduler" in config and "optimizer" in config and "system" in config


SOURCE = Source(
    name="mindocr",
    title="a mindocr configuration",
    sign="the blocks system, scheduler and optimizer",
    fits=fits,
    convert=convert,
)
