"""Convert the schedulers of timm 1.0 (timm/scheduler), as timm's train.py creates them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optcore.recipes.block import Block
from optcore.recipes.defaults import only, others, set_number, set_value

BY = "train.py"
UNREAD = "this scheduler does not read it"


@dataclass(frozen=True)
class _Reading:
    """
    The arguments of train.py, and values that were read from them.

    Attributes:
        file: the arguments.
        at: path in the job at which timm's schedule belongs: "schedule" if lr changes at every
            update. If lr changes once per epoch, it is "schedule.schedule", since the schedule is
            inside one of kind per_epoch.
        epochs: value of the argument epochs.
        warmup: value of the argument warmup_epochs.
    """

    file: Block
    at: str
    epochs: float
    warmup: float

    def set(self, key: str, field: str, value: object) -> None:
        set_value(self.file, key, f"{self.at}.{field}", value, BY)


def convert_schedule(file: Block, lr: float) -> None:
    """Convert the scheduler and the length of the run."""
    per_update = file.flag("sched_on_updates", False)
    if per_update:
        file.other("sched_on_updates", "as here: lr moves at every update")
    else:
        set_value(file, "sched_on_updates", "schedule.kind", "per_epoch", BY)
    at = "schedule" if per_update else "schedule.schedule"
    epochs = float(file.number("epochs", 300))
    warmup = float(file.number("warmup_epochs", 5))
    reading = _Reading(file, at, epochs, warmup)
    file.choice("sched", KINDS, "cosine")(reading)
    _length(reading)
    _warmup(reading, lr)
    _noise(file)
    for key in ("min_lr", "decay_epochs", "decay_milestones", "decay_rate", *CYCLES):
        file.ignored(key, UNREAD)
    others(file, ("patience_epochs", "seed"), "the seed of data and weights, and of plateau")


CYCLES = ("lr_cycle_mul", "lr_cycle_decay", "lr_cycle_limit", "lr_k_decay", "cooldown_epochs")


def _length(reading: _Reading) -> None:
    """Convert the keys that add up to the length of the run: epochs, cooldown and warmup."""
    file = reading.file
    prefix = file.flag("warmup_prefix", False)
    cooldown = 0.0
    if file.get("sched", "cosine") in ("cosine", "tanh", "poly"):
        cooldown = float(file.number("cooldown_epochs", 0))
    whole = reading.epochs + cooldown + (reading.warmup if prefix else 0.0)
    set_value(file, "epochs", "training.epochs", whole, BY)
    file.converted("cooldown_epochs", "training.epochs", whole)
    if prefix:
        file.converted("warmup_prefix", "training.epochs", whole)


def _warmup(reading: _Reading, lr: float) -> None:
    file, prefix = reading.file, reading.file.flag("warmup_prefix", False)
    if reading.warmup <= 0:
        others(file, ("warmup_epochs", "warmup_lr", "warmup_prefix"), "there is no warmup")
        return
    reading.set("warmup_epochs", "warmup.length", {"epochs": reading.warmup})
    start = float(file.number("warmup_lr", 1e-5))
    reading.set("warmup_lr", "warmup.start", start)
    reading.set("warmup_prefix", "warmup.after", "delay" if prefix else "overlap")


def _noise(file: Block) -> None:
    keys = ("lr_noise_pct", "lr_noise_std")
    only(file, "lr_noise", (None,), "is noise of torch's generator", "there is no noise")
    others(file, keys, "read with lr_noise")


def _one_cycle(reading: _Reading) -> None:
    """Refuse arguments that give a cosine, tanh or poly more than one cycle."""
    file, more = reading.file, "is converted with 1 only"
    only(file, "lr_cycle_limit", (1, 1.0), more, "one cycle")
    only(file, "lr_k_decay", (1, 1.0), more, "it is off")
    others(file, ("lr_cycle_mul", "lr_cycle_decay"), "there is one cycle")


def _cosine(reading: _Reading) -> None:
    reading.set("sched", "kind", "cosine")
    reading.set("epochs", "length", {"epochs": reading.epochs})
    set_number(reading.file, "min_lr", f"{reading.at}.end", 0.0, BY)
    _one_cycle(reading)


def _poly(reading: _Reading) -> None:
    reading.set("sched", "kind", "polynomial")
    reading.set("epochs", "length", {"epochs": reading.epochs})
    set_number(reading.file, "min_lr", f"{reading.at}.end", 0.0, BY)
    set_number(reading.file, "decay_rate", f"{reading.at}.power", 0.1, BY)
    _one_cycle(reading)


def _step(reading: _Reading) -> None:
    every = float(reading.file.number("decay_epochs", 90))
    reading.set("sched", "kind", "step")
    reading.set("decay_epochs", "every", {"epochs": every})
    set_number(reading.file, "decay_rate", f"{reading.at}.gamma", 0.1, BY)
    if not every.is_integer() and every < 1:
        reading.file.refused("decay_epochs", "must be at least an epoch")


def _multi_step(reading: _Reading) -> None:
    file = reading.file
    given = file.numbers("decay_milestones", [90, 180, 270])
    if file.get("sched_on_updates"):
        file.refused("sched_on_updates", "puts a milestone one update early")
    # bisect_right(milestones, t + 1): timm acts one epoch early.
    early = [epoch - 1 for epoch in sorted(given)]
    milestones = [{"epochs": float(epoch)} if epoch > 0 else 0 for epoch in early]
    reading.set("sched", "kind", "multi_step")
    reading.set("decay_milestones", "milestones", milestones)
    set_number(file, "decay_rate", f"{reading.at}.gamma", 0.1, BY)


def _not_here(reading: _Reading) -> None:
    reading.file.refused("sched", "has no exactly equivalent schedule", required=True)


KINDS: Mapping[str, Callable[[_Reading], None]] = {
    "cosine": _cosine,
    "poly": _poly,
    "step": _step,
    "multistep": _multi_step,
    "tanh": _not_here,
    "plateau": _not_here,
}
