"""
Convert the keys that each class in PaddleOCR's ppocr/optimizer/learning_rate.py reads.

Every class also accepts keywords that it does not use.
"""

from __future__ import annotations

from collections.abc import Callable

from optcore.recipes.block import Block
from optcore.recipes.paddle.reads import LAST_EPOCH, boundaries, of, rise, shape, values
from optcore.recipes.paddle.rest import refuse_name
from optcore.recipes.table import ClassTable, Read, ignored, number

TWO_STEP_FIRST_EPOCHS = 200
"""Length of the first part of TwoStepCosine, in epochs: a constant in PaddleOCR's code."""
WARMUP_STEPS, WARMUP_START = 5000, 1e-5
"""Defaults of LinearWarmupCosine."""
OVERWRITTEN = "PaddleOCR overwrites it with {}"


def convert_lr(lr: Block, epochs: float | None) -> None:
    """
    Convert *lr*, the block ``Optimizer.lr``, to a schedule and the learning rate.

    Args:
        lr: the block.
        epochs: ``Global.epoch_num``, the length of the run; None if the file does not contain it.
    """
    name = lr.get("name", "Const")  # as PaddleOCR's build_lr_scheduler
    if name not in TABLES:
        refuse_name(lr, TABLES)
        return
    table = TABLES[name]
    if "name" in lr:
        lr.converted("name", "schedule.kind", table.kind)
    else:
        lr.result.default("schedule.kind", table.kind, "a file without lr.name has Const")
    lr.result.default("schedule.dialect", "paddleocr", "the file is PaddleOCR's")
    _common(lr)
    if name in WHOLE_RUN:
        _length(lr, name, epochs)
    if name in FIXED:
        for field, value in FIXED[name].items():
            lr.result.default(f"schedule.{field}", value, f"PaddleOCR's default in {name}")
    if name == "LinearWarmupCosine" and "warmup_steps" not in lr:
        warmup = rise(WARMUP_STEPS, start=WARMUP_START, end=_learning_rate(lr))
        lr.result.default("schedule.warmup", warmup, f"PaddleOCR's default in {name}")
    table.read(lr, name, "PaddleOCR")


def _common(lr: Block) -> None:
    """Record as ignored the keys whose values PaddleOCR overwrites."""
    lr.ignored("epochs", OVERWRITTEN.format("Global.epoch_num"))
    lr.ignored("step_each_epoch", OVERWRITTEN.format("the number of batches"))


def _length(lr: Block, name: str, epochs: float | None) -> None:
    """Set the length of the schedule to that of the run, even if there is a warmup before it."""
    run = Block(lr.result, lr.result.config.get("Global") or {}, ("Global",))
    if epochs is None:
        run.refused("epoch_num", f"is required for {name}", required=True)
    elif epochs > 0:
        run.converted("epoch_num", "schedule.length", of(epochs))


def _warmup(peak: Callable[[Block], float]) -> Read:
    """Return a function that converts warmup_epoch; *peak* returns the lr at the warmup's end."""

    def read(lr: Block, key: str) -> None:
        epochs = lr.number(key) if lr.given(key) else 0
        warmup = rise(of(epochs), start=0.0, end=peak(lr)) if epochs > 0 else None
        lr.converted(key, "schedule.warmup", warmup)

    return read


def _warmup_steps(lr: Block, key: str) -> None:
    steps = lr.whole(key)
    start, end = lr.number("start_lr", WARMUP_START), _learning_rate(lr)
    warmup = rise(steps, start=start, end=end) if steps > 0 else None
    lr.converted(key, "schedule.warmup", warmup)


def _start_lr(lr: Block, key: str) -> None:
    if lr.number("warmup_steps", WARMUP_STEPS) > 0:
        lr.converted(key, "schedule.warmup.start", lr.number(key))
    else:
        lr.ignored(key, "there is no warmup")


def _learning_rate(lr: Block) -> float:
    return lr.number("learning_rate", 1.0)


def _first_value(lr: Block) -> float:
    return (lr.numbers("values", [1.0]) or [1.0])[0]


def _whole_epochs(lr: Block, key: str) -> None:
    # Paddle's StepDecay raises TypeError where step_size times the steps of an epoch is no int.
    lr.converted(key, "schedule.every", of(lr.whole(key)))


def _three_phase(lr: Block, key: str) -> None:
    lr.converted(key, "schedule.three_phase", bool(lr.get(key)))


LR = number("optimizer.lr")
WARMUP = {"warmup_epoch": _warmup(_learning_rate)}
LAST = {"last_epoch": LAST_EPOCH}

TABLES: dict[str, ClassTable] = {
    "Const": ClassTable("constant", {"learning_rate": LR, **WARMUP, **LAST}, ("learning_rate",)),
    "Cosine": ClassTable("cosine", {"learning_rate": LR, **WARMUP, **LAST}, ("learning_rate",)),
    "LinearWarmupCosine": ClassTable(
        "cosine",
        {
            "learning_rate": LR,
            "min_lr": number("schedule.end"),
            "warmup_steps": _warmup_steps,
            "start_lr": _start_lr,
            **LAST,
        },
        ("learning_rate",),
    ),
    "Linear": ClassTable(
        "polynomial",
        {
            "learning_rate": LR,
            "end_lr": number("schedule.end"),
            "power": number("schedule.power"),
            **WARMUP,
            **LAST,
        },
        ("learning_rate",),
    ),
    # PaddleOCR's DecayLearningRate has no warmup.
    "DecayLearningRate": ClassTable(
        "polynomial",
        {
            "learning_rate": LR,
            "factor": number("schedule.power"),
            "end_lr": ignored("PaddleOCR's DecayLearningRate uses 0 instead"),
        },
        ("learning_rate",),
    ),
    "Step": ClassTable(
        "step",
        {
            "learning_rate": LR,
            "step_size": _whole_epochs,
            "gamma": number("schedule.gamma"),
            **WARMUP,
            **LAST,
        },
        ("learning_rate", "step_size", "gamma"),
    ),
    "MultiStepDecay": ClassTable(
        "multi_step",
        {
            "learning_rate": LR,
            "milestones": boundaries("schedule.milestones"),
            "gamma": number("schedule.gamma"),
            **WARMUP,
            **LAST,
        },
        ("learning_rate", "milestones", "gamma"),
    ),
    # Its values are the learning rates themselves: learning_rate is not read.
    "Piecewise": ClassTable(
        "piecewise",
        {
            "decay_epochs": boundaries("schedule.boundaries"),
            "values": values,
            "warmup_epoch": _warmup(_first_value),
            **LAST,
        },
        ("decay_epochs", "values"),
    ),
    "CyclicalCosine": ClassTable(
        "cyclical_cosine",
        {
            "learning_rate": LR,
            "cycle": lambda lr, key: lr.converted(key, "schedule.length", of(lr.number(key))),
            **WARMUP,
            **LAST,
        },
        ("learning_rate", "cycle"),
    ),
    "TwoStepCosine": ClassTable(
        "two_step_cosine", {"learning_rate": LR, **WARMUP, **LAST}, ("learning_rate",)
    ),
    "OneCycle": ClassTable(
        "one_cycle",
        {
            "max_lr": LR,
            "anneal_strategy": shape("schedule.shape"),
            "three_phase": _three_phase,
            "warmup_epoch": _warmup(lambda lr: lr.number("max_lr", 1.0)),
            **LAST,
        },
        ("max_lr",),
    ),
}
"""Class -> the keys that it reads."""

WHOLE_RUN = frozenset(
    {
        *("Cosine", "LinearWarmupCosine", "Linear", "DecayLearningRate"),
        *("TwoStepCosine", "OneCycle"),
    }
)
"""Classes whose schedule is as long as the run."""

FIXED: dict[str, dict[str, object]] = {
    # 0 by default, as in PaddleOCR's code; its docstring says 1e-4.
    "Linear": {"end": 0.0, "power": 1.0},
    "DecayLearningRate": {"end": 0.0, "power": 0.9},
    "TwoStepCosine": {"first": of(TWO_STEP_FIRST_EPOCHS)},
    "LinearWarmupCosine": {"end": 1e-8},
    "OneCycle": {"shape": "cosine", "three_phase": False},
}
"""Class -> field -> PaddleOCR's default, for files without the key."""
