"""Convert the arguments that transformers' Trainer, Axolotl and LLaMA-Factory share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import set_value
from optcore.recipes.huggingface.optimizers import Names, convert_optimizer
from optcore.recipes.huggingface.schedules import (
    WITHOUT_ARGUMENTS,
    NotConvertible,
    Warmup,
    schedule_of,
)

Length = int | dict[str, Any] | None
BATCH = "times the number of devices, it is the job's dataset.batch_size"
CLIP = 1.0
"""The default of max_grad_norm: Trainer clips unless the file turns it off."""


def convert_run(block: Block, names: Names) -> None:
    """Convert the length of the run, its batches, the clip and the learning rate."""
    _length(block, names)
    _lr(block, names)
    _clip(block, names)
    if block.given("gradient_accumulation_steps"):
        steps = block.whole("gradient_accumulation_steps")
        block.converted("gradient_accumulation_steps", "training.accumulate", steps)
    block.other("gradient_accumulation_steps", "null is 1")
    block.other(names.batch, BATCH, tell=True)
    convert_optimizer(block, names)


def _lr(block: Block, names: Names) -> None:
    if names.default_lr is None:
        block.converted("learning_rate", "optimizer.lr", float(block.number("learning_rate")))
    else:
        lr = float(block.number("learning_rate", names.default_lr))
        set_value(block, "learning_rate", "optimizer.lr", lr, names.by)


def lr_of(block: Block, names: Names) -> float:
    """Return the learning rate in the file, or its default."""
    return float(block.number("learning_rate", names.default_lr or 1.0))


def _length(block: Block, names: Names) -> None:
    if steps_of(block) is not None:
        block.converted("max_steps", "training.steps", block.whole("max_steps"))
        block.ignored(names.epochs, "max_steps is given")
        return
    block.other("max_steps", "the run is given in epochs")
    epochs = names.default_epochs
    if block.given(names.epochs):
        epochs = float(block.number(names.epochs))
    if epochs != int(epochs):
        block.refused(names.epochs, "must be whole: the last steps of a part are rounded up")
    set_value(block, names.epochs, "training.epochs", epochs, names.by)


def steps_of(block: Block) -> int | None:
    """Return the length of the run in steps; None if the file gives the length in epochs."""
    steps = block.whole("max_steps", -1) if block.given("max_steps") else -1
    return steps if steps > 0 else None


def _clip(block: Block, names: Names) -> None:
    largest = CLIP
    if block.given("max_grad_norm"):
        largest = float(block.number("max_grad_norm"))
    if largest == 0:
        block.converted("max_grad_norm", "optimizer.clip", None, reason="Trainer clips above 0")
        return
    clip = {"kind": "global_norm", "max": largest}
    if block.given("max_grad_norm"):
        block.converted("max_grad_norm", "optimizer.clip", clip)
    else:
        block.result.default("optimizer.clip", clip, "the default of Trainer for max_grad_norm")
        block.other("max_grad_norm", "null is the default of Trainer")


def share_of(share: float, steps: int | None, round_it: Callable[[float], int], how: str) -> Length:
    """
    Return the length of a warmup that takes a *share* of the run; None if there is no warmup.

    If the length of the run is known in steps, the result is a number of steps. If it is not known,
    the result is the share, which the job rounds to steps.

    Args:
        share: the share of the run, in 0..1; 0 for no warmup.
        steps: the length of the run in steps; None if it is not known.
        round_it: the function that rounds a number of steps to a whole number.
        how: the name of the same rounding in a job, ``up`` or ``down``.
    """
    if share <= 0:
        return None
    if steps is not None:
        return round_it(share * steps) or None
    return {"fraction": share} if how == "up" else {"fraction": share, "rounding": how}


def convert_schedule(block: Block, names: Names, length: Length, keys: tuple[str, ...]) -> None:
    """
    Convert the schedule and its warmup.

    *length* is the length of the warmup, and *keys* are the keys that determine this length.
    """
    name = str(block.get(names.scheduler) or names.default_scheduler)
    given = block.get("lr_scheduler_kwargs")
    kwargs = _kwargs(given)
    try:
        spec = schedule_of(name, kwargs, Warmup(length, lr_of(block, names)))
    except (NotConvertible, TypeError, ValueError) as error:
        block.refused(names.scheduler, str(error), required=True)
        for key in ("lr_scheduler_kwargs", *keys):
            block.other(key, f"it is read with {names.scheduler}, which is refused")
        return
    _set_schedule(block, names.scheduler, {k: v for k, v in spec.items() if k != "warmup"}, names)
    if given and name in WITHOUT_ARGUMENTS:
        block.ignored("lr_scheduler_kwargs", f"get_scheduler does not pass it to {name}")
    elif given:
        block.converted("lr_scheduler_kwargs", "schedule.kind", spec["kind"])
    else:
        block.other("lr_scheduler_kwargs", "it is empty")
    _set_warmup(block, spec.get("warmup"), keys)


def _set_schedule(block: Block, key: str, spec: Mapping[str, Any], names: Names) -> None:
    for field, value in spec.items():
        set_value(block, key, f"schedule.{field}", value, names.by)


def _set_warmup(block: Block, warmup: object, keys: tuple[str, ...]) -> None:
    block.result.set("schedule.warmup", warmup)
    for key in keys:
        if warmup is None:
            block.ignored(key, "there is no warmup")
        else:
            block.converted(key, "schedule.warmup", warmup)
    if warmup is not None and not any(key in block for key in keys):
        block.result.default("schedule.warmup", warmup, "the default without a key for it")


def _kwargs(given: object) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except json.JSONDecodeError:
            return {"lr_scheduler_kwargs": given}
    return dict(given) if isinstance(given, Mapping) else {}


def is_on(block: Block, name: str) -> bool:
    """Return whether *name* is on: it has a value other than null, false, no and an empty text."""
    return block.get(name) not in (None, False, "false", "no", "")


def convert_precision(block: Block) -> None:
    """Convert bf16 and fp16, with which parameters and optimizer states are still float32."""
    if is_on(block, "bf16"):
        block.converted("bf16", "training.precision", "bf16")
        block.ignored("fp16", "bf16 is on")
    elif is_on(block, "fp16"):
        block.converted("fp16", "training.precision", "fp16")
        scale = {"kind": "dynamic", "start": 65536.0}
        block.result.default("training.loss_scale", scale, "torch's GradScaler")
        block.other("bf16", "it is off")
    else:
        block.other("bf16", "it is off")
        block.other("fp16", "it is off")
