"""
Convert the keys that each class in PaddleClas's ppcls/optimizer/learning_rate.py reads.

PaddleClas shortens Cosine and Linear by the length of the warmup, which PaddleOCR does not.

With by_epoch, lr changes once per epoch. The job then has a schedule of kind per_epoch around the
class's schedule, for which one epoch is one step.
"""

from __future__ import annotations

from collections.abc import Callable

from optcore.recipes.block import Block
from optcore.recipes.paddle.reads import LAST_EPOCH, at, boundaries, of, rise, shape, values
from optcore.recipes.paddle.rest import refuse_name
from optcore.recipes.table import ClassTable, Read, flag, ignored, number

EVERY = 30
"""Epochs after which Piecewise divides lr by 10 if it is given a learning_rate."""
OVERWRITTEN = "PaddleClas overwrites it with {}"
CLOSED = frozenset({"ConstLR", "Step", "MultiStepDecay", "Piecewise"})
"""Classes that compute lr from the number of the step alone."""
SHORTER = frozenset({"Cosine", "Linear"})
"""Classes whose schedule is as long as the run without its warmup."""


def convert_lr(lr: Block, epochs: float | None) -> None:
    """
    Convert *lr*, the block ``Optimizer.lr``, to a schedule and the learning rate.

    Args:
        lr: the block.
        epochs: ``Global.epochs``, the length of the run; None if the file does not contain it.
    """
    lr.ignored("epochs", OVERWRITTEN.format("Global.epochs"))
    lr.ignored("step_each_epoch", OVERWRITTEN.format("the number of updates"))
    if "name" not in lr:
        _without_name(lr)
        return
    name = lr.get("name")
    if name not in NAMES:
        refuse_name(lr, NAMES, UNSAYABLE)
        return
    within = _begun(lr, name, _by_epoch(lr, name))
    table = _tables(within)[name]
    lr.converted("name", f"{within}.kind", table.kind)
    # Not paddle: both round a warmup to whole steps, before Paddle gets it.
    lr.result.default(f"{within}.dialect", "paddleocr", "PaddleClas computes and rounds alike")
    for field, value in FIXED.get(name, {}).items():
        lr.result.default(f"{within}.{field}", value, f"PaddleClas's default in {name}")
    if name == "Piecewise" and lr.get("learning_rate"):
        _piecewise_by_rule(lr, within, epochs)
    _warmup(lr, name, within, epochs)
    _length(lr, name, within, epochs)
    table.read(lr, name, "PaddleClas")


def _without_name(lr: Block) -> None:
    """Convert a block without a name: lr is constant, and PaddleClas reads only learning_rate."""
    lr.result.default("schedule.kind", "constant", "a file without lr.name keeps learning_rate")
    lr.converted("learning_rate", "optimizer.lr", lr.number("learning_rate"))
    for key in lr.left():
        lr.ignored(key, "PaddleClas takes learning_rate alone where there is no name")


def _by_epoch(lr: Block, name: str) -> str:
    """Convert by_epoch; return the path in the job at which the class's schedule belongs."""
    by_epoch = lr.flag("by_epoch", False)
    if not by_epoch:
        lr.ignored("by_epoch", "false is the default")
        return "schedule"
    if name == "Linear" and lr.get("warmup_epoch"):
        # PaddleClas multiplies the warmup by the steps of an epoch, and then counts epochs.
        lr.refused(
            "by_epoch",
            "must be false for Linear with a warmup, whose steps PaddleClas counts as epochs",
        )
    if name == "OneCycleLR":
        lr.refused(
            "by_epoch", "must be false for OneCycleLR, whose cycle has a step for each update"
        )
    lr.converted("by_epoch", "schedule.kind", "per_epoch")
    return "schedule.schedule"


def _begun(lr: Block, name: str, within: str) -> str:
    """
    Convert last_epoch, which makes the class's schedule start at a later step.

    Return the path in the job at which this schedule belongs. *within* is the path without
    last_epoch.
    """
    last = lr.whole("last_epoch", -1)
    # The other classes, and a warmup, compute lr from the lr before.
    if last < 0 or name not in CLOSED or lr.get("warmup_epoch"):
        return within
    lr.converted("last_epoch", f"{within}.kind", "shift")
    lr.converted("last_epoch", f"{within}.by", last + 1)
    return f"{within}.schedule"


def _last_epoch(lr: Block, key: str) -> None:
    if key in lr.left():
        LAST_EPOCH(lr, key)


def _warmup(lr: Block, name: str, within: str, epochs: float | None) -> None:
    """Convert the warmup, which all classes in `NAMES` have."""
    length = lr.number("warmup_epoch", 0)
    start = lr.number("warmup_start_lr", 0.0)
    if length <= 0:
        lr.ignored("warmup_epoch", "0 is no warmup")
        lr.ignored("warmup_start_lr", "there is no warmup")
        return
    if epochs is not None and length >= epochs:
        lr.refused("warmup_epoch", f"must be less than Global.epochs ({epochs:g})")
    if (name in SHORTER or lr.get("by_epoch") is True) and length != int(length):
        lr.refused("warmup_epoch", f"must be a whole number for {name}: Paddle raises TypeError")
    warmup = rise(of(length), start=start, end=PEAKS.get(name, _learning_rate)(lr))
    lr.converted("warmup_epoch", f"{within}.warmup", warmup)
    lr.converted("warmup_start_lr", f"{within}.warmup.start", start)


def _length(lr: Block, name: str, within: str, epochs: float | None) -> None:
    if name not in SHORTER and name != "OneCycleLR":
        return
    run = Block(lr.result, lr.result.config.get("Global") or {}, ("Global",))
    if epochs is None:
        run.refused("epochs", f"is required for {name}", required=True)
        return
    before = lr.number("warmup_epoch", 0) if name in SHORTER else 0
    if 0 <= before < epochs:
        reason = f"{name} is shortened by the warmup" if before else ""
        run.converted("epochs", f"{within}.length", of(epochs - before), reason=reason)


def _piecewise_by_rule(lr: Block, within: str, epochs: float | None) -> None:
    """Convert a Piecewise with learning_rate, from which decay_epochs and values are computed."""
    if epochs is None:
        Block(lr.result, {}, ("Global",)).refused("epochs", "is required", required=True)
        return
    peak = lr.number("learning_rate")
    moments: list[float] = [*range(0, int(epochs), EVERY)]
    levels = [peak * (0.1**i) for i in range(len(moments))]
    if len(moments) == 1:
        moments, levels = [epochs], [peak, peak]
    else:
        moments = moments[1:]
    rule = f"PaddleClas divides it by 10 every {EVERY} epochs where Piecewise has a learning_rate"
    lr.converted("learning_rate", "optimizer.lr", peak)
    lr.converted("learning_rate", f"{within}.boundaries", [at(each) for each in moments])
    lr.converted("learning_rate", f"{within}.values", levels, reason=rule)
    for key in ("decay_epochs", "values"):
        lr.ignored(key, "PaddleClas replaces it where Piecewise has a learning_rate")


def _learning_rate(lr: Block) -> float:
    return lr.number("learning_rate", 1.0)


def _first_value(lr: Block) -> float:
    peak = lr.get("learning_rate")
    return _learning_rate(lr) if peak else (lr.numbers("values", [1.0]) or [1.0])[0]


PEAKS: dict[str, Callable[[Block], float]] = {
    "Piecewise": _first_value,
    "OneCycleLR": lambda lr: lr.number("max_learning_rate", 1.0),
    "Cyclic": lambda lr: lr.number("base_learning_rate", 1.0),
}
"""Class -> the lr at which its warmup ends, if that is not learning_rate."""


def _step_size(within: str) -> Read:
    def read(lr: Block, key: str) -> None:
        epochs = lr.number(key)
        if epochs != int(epochs) and lr.get("by_epoch"):
            lr.refused(key, "must be a whole number with by_epoch: Paddle raises TypeError")
            return
        lr.converted(key, f"{within}.every", of(epochs))

    return read


def _only_without_learning_rate(read: Read) -> Read:
    """
    Return a function that calls *read* for a key if the block has no learning_rate.

    If the block has one, the function does nothing: `_piecewise_by_rule` has recorded the key.
    """

    def unless(lr: Block, key: str) -> None:
        if not lr.get("learning_rate"):
            read(lr, key)

    return unless


def _end(within: str) -> Read:
    return number(f"{within}.end")


def _tables(within: str) -> dict[str, ClassTable]:
    """Return class -> the keys that it reads. *within* is the path of the schedule in the job."""
    lr, last = {"learning_rate": number("optimizer.lr")}, {"last_epoch": _last_epoch}
    verbose = {"verbose": ignored("it prints lr")}
    needs_lr = ("learning_rate",)
    gamma = {"gamma": number(f"{within}.gamma")}
    return {
        "ConstLR": ClassTable("constant", {**lr, **last}, needs_lr),
        "Cosine": ClassTable("cosine", {**lr, **last, "eta_min": _end(within)}, needs_lr),
        "Linear": ClassTable(
            "polynomial",
            {
                **lr,
                **last,
                "end_lr": _end(within),
                "power": number(f"{within}.power"),
                "cycle": flag(f"{within}.cycle"),
            },
            needs_lr,
        ),
        "Step": ClassTable(
            "step",
            {**lr, **last, **gamma, "step_size": _step_size(within)},
            (*needs_lr, "step_size", "gamma"),
        ),
        "MultiStepDecay": ClassTable(
            "multi_step",
            {**lr, **last, **gamma, "milestones": boundaries(f"{within}.milestones")},
            (*needs_lr, "milestones"),
        ),
        "Piecewise": ClassTable(
            "piecewise",
            {
                "decay_epochs": _only_without_learning_rate(boundaries(f"{within}.boundaries")),
                "values": _only_without_learning_rate(
                    lambda block, key: values(block, key, within=within)
                ),
                "learning_rate": _only_without_learning_rate_read,
                **last,
            },
            ("decay_epochs", "values"),
        ),
        "OneCycleLR": ClassTable(
            "one_cycle",
            {
                "max_learning_rate": number("optimizer.lr"),
                "divide_factor": number(f"{within}.div_factor"),
                "end_learning_rate": _end(within),
                "phase_pct": number(f"{within}.pct_start"),
                "anneal_strategy": shape(f"{within}.shape"),
                "three_phase": flag(f"{within}.three_phase"),
                **last,
                **verbose,
            },
            ("max_learning_rate",),
            swallows=False,
        ),
    }


def _only_without_learning_rate_read(lr: Block, key: str) -> None:
    if not lr.get(key):
        lr.ignored(key, "without it, decay_epochs and values apply")


NAMES = tuple(_tables("schedule"))
"""The classes that can be converted."""

UNSAYABLE = {
    "CosineFixmatch": "no schedule ends within the first quarter of a cosine wave",
    "Cyclic": "no published configuration has it; write schedule cyclic",
    "ReduceOnPlateau": "it follows evaluations: write schedule plateau, with dataset.validation",
}
"""Class that cannot be converted -> the reason."""

FIXED: dict[str, dict[str, object]] = {
    "Cosine": {"end": 0.0},
    "Linear": {"end": 0.0, "power": 1.0, "cycle": False},
    "MultiStepDecay": {"gamma": 0.1},
    "OneCycleLR": {
        "end": 1e-10,
        "div_factor": 25.0,
        "pct_start": 0.3,
        "shape": "cosine",
        "three_phase": False,
    },
}
"""Class -> field -> PaddleClas's default, for files without the key."""
