"""
Convert the arguments of ``create_scheduler``, which mindcv and mindocr share.

The function makes a list with the lr of every step, in Python's floats. The list contains the
warmup, and after it the schedule from its beginning.

Sources: mindcv/scheduler in mindcv 0.5, mindocr/scheduler in mindocr 0.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.defaults import ignore, only, set_number, set_value

UNREAD = "this scheduler does not read it"


@dataclass(frozen=True)
class Arguments:
    """
    The names and defaults of the arguments of ``create_scheduler`` in one framework.

    Attributes:
        by: name of the framework.
        epochs: key for the length of the run, in epochs.
        milestones: key for the milestones.
        scheduler: default of the key ``scheduler``.
        lr: default of the key ``lr``.
        num_epochs: default length of the run, in epochs.
        decay_epochs: default of the key ``decay_epochs``.
        default_milestones: default milestones, in epochs.
        min_lr: default of the key ``min_lr``.
        warmup_epochs: default of the key ``warmup_epochs``.
        decay_rate: default of the key ``decay_rate``.
    """

    by: str
    epochs: str
    milestones: str
    scheduler: str
    lr: float
    num_epochs: int
    decay_epochs: int
    default_milestones: tuple[int, ...]
    min_lr: float = 1e-6
    warmup_epochs: int = 3
    decay_rate: float = 0.9


@dataclass
class _Reading:
    """The block that contains the arguments, and the values that were read from the block."""

    block: Block
    names: Arguments
    lr: float
    epochs: int
    warmup: int
    at: str = "schedule"
    """Path of the schedule in the job; inside a per_epoch it is one level deeper."""

    def set(self, key: str, field: str, value: object) -> None:
        set_value(self.block, key, f"{self.at}.{field}", value, self.names.by)

    def derived(self, field: str, value: object, reason: str) -> None:
        self.block.result.default(f"{self.at}.{field}", value, reason)

    @property
    def left(self) -> int:
        """The number of epochs after the warmup."""
        return self.epochs - self.warmup


def convert_schedule(block: Block, names: Arguments) -> None:
    """Convert the arguments in *block* to the schedule, the lr and the length of a job."""
    lr = set_number(block, "lr", "optimizer.lr", names.lr, names.by)
    epochs = block.whole(names.epochs, names.num_epochs)
    set_value(block, names.epochs, "training.epochs", float(epochs), names.by)
    warmup = block.whole("warmup_epochs", names.warmup_epochs)
    reading = _Reading(block, names, lr, epochs, warmup)
    _stairs(reading)
    kind = block.choice("scheduler", KINDS, names.scheduler)
    kind(reading)
    _warmup(reading)
    ignore(block, ("min_lr", "decay_epochs", "decay_rate", names.milestones), UNREAD)
    # Only the cosine reads these keys, and it has converted them.
    ignore(block, ("num_cycles", "cycle_decay"), UNREAD)


def _stairs(reading: _Reading) -> None:
    block = reading.block
    if not block.flag("lr_epoch_stair", False):
        block.other("lr_epoch_stair", "it is off: lr moves at every step")
        return
    block.converted("lr_epoch_stair", "schedule.kind", "per_epoch")
    reading.at = "schedule.schedule"


def _warmup(reading: _Reading) -> None:
    block, by = reading.block, reading.names.by
    factor = float(block.number("warmup_factor", 0.0))
    if reading.warmup <= 0:
        reading.set("warmup_epochs", "warmup", None)
        block.ignored("warmup_factor", "there is no warmup")
        return
    reading.set("warmup_epochs", "warmup.length", {"epochs": float(reading.warmup)})
    set_value(block, "warmup_factor", f"{reading.at}.warmup.start", reading.lr * factor, by)
    reading.derived("warmup.after", "delay", f"{by} appends the schedule to the warmup")


def _kind(reading: _Reading, kind: str) -> None:
    reading.set("scheduler", "kind", kind)


def _constant(reading: _Reading) -> None:
    _kind(reading, "constant")


def _cosine(reading: _Reading) -> None:
    block, names = reading.block, reading.names
    cycles = block.whole("num_cycles", 1)
    length = block.whole("decay_epochs", names.decay_epochs)
    end = float(block.number("min_lr", names.min_lr))
    _kind(reading, "cosine" if cycles == 1 else "cosine_restarts")
    reading.set("decay_epochs", "length", {"epochs": float(length)})
    reading.set("min_lr", "end", end)
    if cycles == 1:
        ignore(block, ("num_cycles", "cycle_decay"), "there is one cycle")
        return
    decay = float(block.number("cycle_decay", 1.0))
    if decay != 1 and end != 0:
        block.refused("cycle_decay", "must be 1 where min_lr is not 0, since it scales only peaks")
    reading.set("cycle_decay", "m_mul", decay)
    block.converted("num_cycles", f"{reading.at}.kind", "cosine_restarts")
    if cycles * length < reading.left:
        _rest_at_the_floor(reading, float(cycles * length), end)


def _rest_at_the_floor(reading: _Reading, epochs: float, floor: float) -> None:
    """Replace the schedule by a chain: *epochs* epochs of its cycles, then the constant *floor*."""
    job, *at = reading.at.split(".")
    place = reading.block.result.job[job]
    for name in at:
        place = place[name]
    cycles = dict(place)
    place.clear()
    rest = {"kind": "clamp", "max": floor, "schedule": {"kind": "constant"}}
    why = "after its cycles, lr stays at min_lr"
    reading.derived("kind", "chain", why)
    reading.derived("schedules", [cycles, rest], why)
    reading.derived("boundaries", [{"epochs": epochs}], why)


def _exponential(reading: _Reading) -> None:
    _kind(reading, "exponential")
    rate = float(reading.block.number("decay_rate", reading.names.decay_rate))
    reading.set("decay_rate", "rate", rate)
    reading.derived("every", {"epochs": 1.0}, "decay_rate is the factor of one epoch")


def _polynomial(reading: _Reading) -> None:
    _kind(reading, "polynomial")
    power = float(reading.block.number("decay_rate", reading.names.decay_rate))
    reading.set("decay_rate", "power", power)
    length = {"epochs": float(max(reading.left, 1))}
    reading.derived("length", length, "the epochs after the warmup")


def _step(reading: _Reading) -> None:
    _kind(reading, "step")
    block, names = reading.block, reading.names
    every = block.whole("decay_epochs", names.decay_epochs)
    reading.set("decay_epochs", "every", {"epochs": float(every)})
    reading.set("decay_rate", "gamma", float(block.number("decay_rate", names.decay_rate)))


def _multi_step(reading: _Reading) -> None:
    _kind(reading, "multi_step")
    block, names = reading.block, reading.names
    given = block.numbers(names.milestones, list(names.default_milestones))
    if any(epoch != int(epoch) for epoch in given):
        block.refused(names.milestones, "must be whole epochs")
    milestones: list[Any] = [{"epochs": float(epoch)} if epoch else 0 for epoch in sorted(given)]
    reading.set(names.milestones, "milestones", milestones)
    reading.set("decay_rate", "gamma", float(block.number("decay_rate", names.decay_rate)))


def _one_cycle(reading: _Reading) -> None:
    _kind(reading, "one_cycle")
    end = float(reading.block.number("min_lr", reading.names.min_lr))
    reading.set("min_lr", "end", end)
    for key, value in (("lr_epoch_stair", False), ("warmup_epochs", 0)):
        only(reading.block, key, (value,), f"must be {value} for one_cycle", "it is off")


def _cyclic(reading: _Reading) -> None:
    reading.block.refused("scheduler", "cyclic has cycles in steps that depend on the dataset")


KINDS: dict[str, Callable[[_Reading], None]] = {
    "constant": _constant,
    "cosine_decay": _cosine,
    "warmup_cosine_decay": _cosine,
    "exponential_decay": _exponential,
    "polynomial_decay": _polynomial,
    "step_decay": _step,
    "multi_step_decay": _multi_step,
    "one_cycle": _one_cycle,
    "cyclic": _cyclic,
}
