"""
Convert a configuration of mindcv 0.5: the arguments of its train.py in YAML.

After t updates, mindcv's moving average of the weights has the decay
``ema_decay * (1 - exp(-t / 2000))``.

mindcv has two training steps, MindSpore's and its own, and `create_trainer` chooses one of them
(mindcv/utils/trainer_factory.py). The loss scale and the clip depend on the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import ignore, only, others, words
from optcore.recipes.mindspore.optimizers import (
    NO_DECAY,
    NORMS,
    Options,
    convert_average,
    convert_optimizer,
    convert_precision,
)
from optcore.recipes.mindspore.schedules import Arguments, convert_schedule
from optcore.recipes.source import Source

OTHERS = words("""
    aug_repeats aug_splits auto_augment aux_factor ckpt_path ckpt_save_dir
    ckpt_save_interval ckpt_save_policy color_jitter crop_pct cutmix cutmix_prob data_dir dataset
    dataset_download dataset_sink_mode device_target distribute drop_path_rate drop_rate
    drop_remainder eval_shuffle hflip image_resize in_channels interpolation keep_checkpoint_max
    label_smoothing log_interval loss mean mixup mode model num_classes num_parallel_workers
    num_samples pretrained ratio re_max_attempts re_prob re_ratio re_scale re_value reduction
    resume_opt scale seed shuffle std train_split val_amp_level val_interval val_split
    val_while_train vflip
""")
ARGUMENTS = Arguments(
    by="mindcv",
    epochs="epoch_size",
    milestones="multi_step_decay_milestones",
    scheduler="cosine_decay",
    lr=1e-3,
    num_epochs=90,
    decay_epochs=100,
    default_milestones=(30, 60, 90),
)
OPTIONS = Options(by="mindcv", opt="adam", weight_decay=1e-6, nesterov="use_nesterov", more=False)
BATCH = "times the number of devices, it is the job's dataset.batch_size"


def convert(file: Block) -> None:
    """Convert *file*, a whole mindcv configuration."""
    convert_schedule(file, ARGUMENTS)
    convert_optimizer(file, OPTIONS)
    _groups(file)
    level = convert_precision(file)
    _loss_scale(file, level)
    _average(file)
    _clip(file)
    file.other("batch_size", BATCH, tell=True)
    refused = "changes lr at every batch, even between updates"
    only(file, "gradient_accumulation_steps", (None, 1), refused, "every batch is an update")
    # "None" is what argparse makes of a YAML None; mindcv evaluates the text.
    refused = "chooses the layers that compute in float16"
    only(file, "amp_cast_list", (None, "None"), refused, "the layers are those of amp_level")
    only(
        file, "layer_decay", (None,), "gives lr by depth, in groups of mindcv's models", "it is off"
    )
    others(file, OTHERS)


def _groups(file: Block) -> None:
    given = file.text("weight_decay_filter", "disable")
    if given == "norm_and_bias":
        file.converted("weight_decay_filter", "optimizer.groups", [NO_DECAY])
    elif given == "auto":
        file.converted("weight_decay_filter", "optimizer.groups", [NORMS], reason="MindSpore's own")
    else:
        file.converted("weight_decay_filter", "optimizer.groups", [], reason="everything decays")


def _own_step(file: Block) -> bool:
    """Return whether mindcv uses its own training step in place of MindSpore's."""
    steps = file.get("gradient_accumulation_steps", 1)
    return bool(file.get("ema") or file.get("clip_grad") or steps != 1 or file.get("amp_cast_list"))


def _loss_scale(file: Block, level: str) -> None:
    drop = file.flag("drop_overflow_update", False)
    scale = float(file.number("loss_scale", 1.0))
    kind = file.text("loss_scale_type", "fixed").lower()
    if kind == "dynamic":
        _dynamic(file, scale, drop=drop)
    elif kind == "auto":
        _automatic(file, level)
    elif kind == "fixed" and scale == 1 and not drop and level != "O2":
        ignore(file, ("loss_scale", "loss_scale_type", "drop_overflow_update"), "the scale is 1")
    elif kind == "fixed":
        file.result.default("training.loss_scale.kind", "fixed", "the default of mindcv")
        file.converted("loss_scale_type", "training.loss_scale.kind", "fixed")
        file.result.set("training.loss_scale.scale", scale)
        file.converted("loss_scale", "training.loss_scale.scale", scale)
        file.result.set("training.loss_scale.drop_overflow", drop)
        file.converted("drop_overflow_update", "training.loss_scale.drop_overflow", drop)
    else:
        file.refused("loss_scale_type", "must be fixed, dynamic or auto")


def _dynamic(file: Block, scale: float, *, drop: bool) -> None:
    if not drop:
        file.refused(
            "drop_overflow_update", "must be true where the scale is dynamic", required=True
        )
    if scale < 1:
        file.refused("loss_scale", "must be at least 1")
    file.converted("loss_scale_type", "training.loss_scale.kind", "dynamic")
    file.result.default("training.loss_scale.start", scale, "the default of mindcv for loss_scale")
    file.converted("loss_scale", "training.loss_scale.start", scale)
    file.converted("drop_overflow_update", "training.loss_scale.kind", "dynamic")
    for name, value in (("growth", 2.0), ("backoff", 0.5), ("window", 2000)):
        file.result.default(f"training.loss_scale.{name}", value, "fixed in mindcv")


def _automatic(file: Block, level: str) -> None:
    if _own_step(file):
        file.refused(
            "loss_scale_type",
            "must be fixed or dynamic with ema, clip_grad, amp_cast_list or accumulated gradients",
        )
        return
    unread = "mindspore.Model chooses the scale"
    ignore(file, ("loss_scale", "drop_overflow_update"), unread)
    # mindspore/train/amp.py in MindSpore 2.10: O2 has a DynamicLossScaleManager(), others none.
    if level == "O2":
        file.converted("loss_scale_type", "training.loss_scale.kind", "dynamic", reason=unread)
        file.result.default("training.loss_scale.start", 2.0**24, "the default of MindSpore")
    else:
        file.converted("loss_scale_type", "training.loss_scale", None, reason=unread)


def _average(file: Block) -> None:
    if not file.flag("ema", False):
        file.other("ema", "it is off")
        file.ignored("ema_decay", "ema is off")
        return
    convert_average(file)


def _clip(file: Block) -> None:
    if not file.flag("clip_grad", False):
        file.other("clip_grad", "it is off")
        file.ignored("clip_value", "clip_grad is off")
        return
    largest = float(file.number("clip_value", 15.0))
    file.converted("clip_grad", "optimizer.clip.kind", "global_norm")
    file.result.default("optimizer.clip.max", largest, "the default of mindcv for clip_value")
    file.converted("clip_value", "optimizer.clip.max", largest)


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has keys that only mindcv's files have."""
    return "epoch_size" in config and "opt" in config


SOURCE = Source(
    name="mindcv",
    title="a mindcv configuration",
    sign="the keys opt and epoch_size",
    fits=fits,
    convert=convert,
)
