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
    interpolation label_smoothing mixup_alpha model n_nodes nnodes nproc_per_node output_dir
    policy_magnitude pretrained print_freq ra_magnitude ra_reps ra_sampler random_erase start_epoch
    sync_bn train_crop_size use_deterministic_algorithms use_v2 val_crop_size val_resize_size
    weights workers world_size
""")
ALIASES = {"b": "batch_size", "j": "workers", "wd": "weight_decay"}
FLAGS = words("""
    amp cache_dataset model_ema pretrained ra_sampler sync_bn test_only
    use_deterministic_algorithms use_v2
""")
LAUNCHER = ("nproc_per_node", "nnodes")
"""Options of torchrun that say the number of devices."""
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
    _average(file)


def _average(file: Block) -> None:
    keys = ("model_ema_steps", "model_ema_decay")
    if not file.get("model_ema"):
        others(file, ("model_ema", *keys), "there is no average")
        return
    devices = _devices(file)
    if devices is None:
        why = "has a decay that depends on the number of devices: give world_size as well"
        file.refused("model_ema", why)
        others(file, keys, "see model_ema")
        return
    file.converted("model_ema", "training.ema.kind", "shadow")
    every = file.whole("model_ema_steps", 32)
    set_value(file, "model_ema_steps", "training.ema.every", every, BY)
    # As in train.py, so that the rounding is the same.
    adjust = devices * file.whole("batch_size", 32) * every / file.whole("epochs", 90)
    decay = 1.0 - min(1.0, (1.0 - float(file.number("model_ema_decay", 0.99998))) * adjust)
    if decay >= 1:
        file.refused("model_ema_decay", "must be below 1", required=True)
    why = "1 - min(1, (1 - model_ema_decay) * devices * batch_size * model_ema_steps / epochs)"
    file.result.default("training.ema.decay", decay, why)
    for name in ("model_ema_decay", "world_size", "nproc_per_node", "nnodes", "n_nodes"):
        file.converted(name, "training.ema.decay", decay, reason=why)
    file.result.default("training.ema.every_from", "epoch", "train.py counts the batches of epochs")
    file.result.default("training.ema.copy_first", value=True, reason="n_averaged is 0 at first")
    warmup = float(file.number("lr_warmup_epochs", 0))
    if warmup:
        why = "n_averaged is set to 0 during the warmup"
        file.result.default("training.ema.begin", {"epochs": warmup}, why)


def _devices(file: Block) -> int | None:
    """Return the number of devices; None if the arguments do not contain it."""
    if file.given("world_size"):
        return file.whole("world_size")
    if file.given("nproc_per_node"):
        nodes = next((name for name in ("nnodes", "n_nodes") if file.given(name)), None)
        return file.whole("nproc_per_node") * (1 if nodes is None else file.whole(nodes))
    return None


def parse(text: str) -> Mapping[str, Any] | None:
    """Return the arguments in *text*, a command line."""
    return parse_command(text, aliases=ALIASES, flags=FLAGS, lists=(), launcher=LAUNCHER)


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
