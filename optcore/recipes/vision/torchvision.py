"""
Convert the arguments of torchvision's references/classification/train.py, release 0.29.

The arguments are read from a command line, or from YAML or JSON with the arguments as keys. lr
changes once per epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import others, set_number, set_value, words
from optcore.recipes.source import Source
from optcore.recipes.vision.command_line import parse_command

BY = "train.py"
OTHERS = words("""
    auto_augment augmix_severity backend cache_dataset cutmix_alpha data_path device dist_url
    interpolation label_smoothing mixup_alpha model n_nodes nproc_per_node output_dir
    policy_magnitude pretrained print_freq ra_magnitude ra_reps ra_sampler random_erase start_epoch
    sync_bn train_crop_size use_deterministic_algorithms use_v2 val_crop_size val_resize_size
    weights workers world_size
""")
ALIASES = {"b": "batch_size", "j": "workers", "wd": "weight_decay"}
FLAGS = words("""
    amp cache_dataset model_ema pretrained ra_sampler sync_bn test_only
    use_deterministic_algorithms use_v2
""")
AT = "schedule.schedule"
"""Path of the schedule in the job: inside a per_epoch."""
BATCH = "times the number of devices, it is the job's dataset.batch_size"


def convert(file: Block) -> None:
    """Convert *file*, the arguments of train.py."""
    if file.get("test_only"):
        file.refused("test_only", "trains nothing")
    file.other("test_only", "it is off")
    lr = set_number(file, "lr", "optimizer.lr", 0.1, BY)
    epochs = float(file.whole("epochs", 90))
    set_value(file, "epochs", "training.epochs", epochs, BY)
    _optimizer(file)
    _groups(file)
    _schedule(file, lr, epochs)
    _step(file)
    file.other("batch_size", BATCH, tell=True)
    others(file, OTHERS)


def _optimizer(file: Block) -> None:
    name = file.text("opt", "sgd").lower()
    momentum = float(file.number("momentum", 0.9))
    file.result.default("optimizer.dialect", "torch", "train.py uses torch's optimizers")
    if name.startswith("sgd"):
        kind = "nesterov" if "nesterov" in name else "momentum"
        set_value(file, "opt", "optimizer.kind", kind if momentum else "sgd", BY)
        if momentum:
            set_value(file, "momentum", "optimizer.momentum", momentum, BY)
        file.ignored("momentum", "it is 0")
    elif name == "rmsprop":
        set_value(file, "opt", "optimizer.kind", "rmsprop", BY)
        set_value(file, "momentum", "optimizer.momentum", momentum, BY)
        for field, value in (("eps", 0.0316), ("rho", 0.9)):
            file.result.default(f"optimizer.{field}", value, "fixed in train.py")
    elif name == "adamw":
        set_value(file, "opt", "optimizer.kind", "adamw", BY)
        file.ignored("momentum", "adamw does not read it")
    else:
        file.refused("opt", "must be sgd, sgd_nesterov, rmsprop or adamw", required=True)
    set_number(file, "weight_decay", "optimizer.weight_decay", 1e-4, BY)


def _groups(file: Block) -> None:
    norm, bias = file.get("norm_weight_decay"), file.get("bias_weight_decay")
    embedding = file.get("transformer_embedding_decay")
    if embedding is not None and float(embedding) != float(file.number("weight_decay", 1e-4)):
        file.refused("transformer_embedding_decay", "has groups by the names of transformers")
    file.other("transformer_embedding_decay", "it is the weight_decay of the rest")
    if norm is None and bias is None:
        others(file, ("norm_weight_decay", "bias_weight_decay"), "they decay as the rest")
    elif bias is None:
        group = {
            "match": {"module": NORMS},
            "weight_decay": float(file.number("norm_weight_decay")),
        }
        file.converted("norm_weight_decay", "optimizer.groups", [group])
        file.other("bias_weight_decay", "biases decay as the rest")
    elif norm == bias:
        group = {"preset": "no_decay_norm_bias", "weight_decay": float(norm)}
        file.converted("norm_weight_decay", "optimizer.groups", [group])
        file.converted("bias_weight_decay", "optimizer.groups", [group])
    else:
        file.refused("bias_weight_decay", "must equal norm_weight_decay, or not be given")
        file.other("norm_weight_decay", "see bias_weight_decay")


NORMS = ["batch_norm"]


def _schedule(file: Block, lr: float, epochs: float) -> None:
    file.result.default("schedule.kind", "per_epoch", "train.py steps its scheduler once an epoch")
    warmup = float(file.number("lr_warmup_epochs", 0))
    name = file.text("lr_scheduler", "steplr").lower()
    if name == "steplr":
        set_value(file, "lr_scheduler", f"{AT}.kind", "step", BY)
        every = {"epochs": float(file.whole("lr_step_size", 30))}
        set_value(file, "lr_step_size", f"{AT}.every", every, BY)
        set_number(file, "lr_gamma", f"{AT}.gamma", 0.1, BY)
    elif name == "cosineannealinglr":
        set_value(file, "lr_scheduler", f"{AT}.kind", "cosine", BY)
        set_number(file, "lr_min", f"{AT}.end", 0.0, BY)
        length = {"epochs": max(1.0, epochs - warmup)}
        file.result.default(f"{AT}.length", length, "the epochs after the warmup")
    elif name == "exponentiallr":
        set_value(file, "lr_scheduler", f"{AT}.kind", "exponential", BY)
        set_number(file, "lr_gamma", f"{AT}.rate", 0.1, BY)
        file.result.default(f"{AT}.every", {"epochs": 1.0}, "one step of the scheduler an epoch")
    else:
        file.refused("lr_scheduler", "must be steplr, cosineannealinglr or exponentiallr")
    for key in ("lr_step_size", "lr_gamma", "lr_min"):
        file.ignored(key, f"{name} does not read it")
    file.result.default(f"{AT}.dialect", "torch", "train.py uses torch's schedulers")
    _warmup(file, lr, warmup)


def _warmup(file: Block, lr: float, warmup: float) -> None:
    keys = ("lr_warmup_epochs", "lr_warmup_method", "lr_warmup_decay")
    if warmup == 0:
        others(file, keys, "there is no warmup")
        return
    file.converted("lr_warmup_epochs", f"{AT}.warmup.length", {"epochs": warmup})
    method = file.text("lr_warmup_method", "constant").lower()
    if method not in ("constant", "linear"):
        file.refused("lr_warmup_method", "must be constant or linear")
    set_value(file, "lr_warmup_method", f"{AT}.warmup.shape", method, BY)
    start = lr * float(file.number("lr_warmup_decay", 0.01))
    set_value(file, "lr_warmup_decay", f"{AT}.warmup.start", start, BY)
    file.result.default(f"{AT}.warmup.after", "delay", "SequentialLR")


def _step(file: Block) -> None:
    if file.get("amp"):
        file.converted("amp", "training.precision", "fp16")
    file.other("amp", "it is off")
    if file.given("clip_grad_norm"):
        largest = float(file.number("clip_grad_norm"))
        file.converted("clip_grad_norm", "optimizer.clip", {"kind": "global_norm", "max": largest})
    file.other("clip_grad_norm", "it is off")
    if file.get("model_ema"):
        file.refused("model_ema", "is updated every model_ema_steps, with a decay from world_size")
    file.other("model_ema", "it is off")
    others(file, ("model_ema_steps", "model_ema_decay"), "they are read with model_ema")


def parse(text: str) -> Mapping[str, Any] | None:
    """Return the arguments in *text*, a command line."""
    return parse_command(text, aliases=ALIASES, flags=FLAGS, lists=())


def fits(config: Mapping[str, Any]) -> bool:
    """Return whether *config* has keys that only the arguments of torchvision's train.py have."""
    own = ("lr_scheduler", "lr_step_size", "lr_warmup_epochs", "lr_gamma")
    return "model" in config and any(key in config for key in own) and "base_model" not in config


SOURCE = Source(
    name="torchvision",
    title="arguments of torchvision's references/classification/train.py",
    sign="the key model and one of lr_scheduler, lr_step_size, lr_gamma, lr_warmup_epochs",
    fits=fits,
    convert=convert,
    parse=parse,
)
