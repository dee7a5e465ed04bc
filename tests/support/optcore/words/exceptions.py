"""
Where a framework's kernel contradicts its own documentation, or its float64 is not float64.

Each rule is by framework, class and a condition on the parameters. For an exception our result,
which follows the documentation, must differ from the recorded one, and where it can be said what
the kernel does instead, that must be the recorded one; a coarse recording is compared as what it
is, float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.optcore.words.words import Case

Problem = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """
    One contradiction.

    Attributes:
        family: where.
        optimizers: the classes.
        holds: whether it concerns a case of them.
        reason: what the kernel does, and what the documentation says.
        recorded: whether the project's own recordings have such a case.
        slip: what to change in our words to do as the kernel does, where they can say it: then
            the result must be the recorded one.
        kernel: else, what the kernel does, step by step, where that was found out.
        within: else, how far off we may be, as a share of the largest parameter or of 1.
    """

    family: str
    optimizers: tuple[str, ...]
    holds: Callable[[Case], bool]
    reason: str
    recorded: bool = True
    slip: dict[str, Any] | None = None
    kernel: Callable[[Case, str, Problem], Iterator[NDArray[Any]]] | None = None
    within: float | None = None

    def takes(self, family: str, case: Case) -> bool:
        """Return whether the rule concerns *case*."""
        return family == self.family and case["optimizer"] in self.optimizers and self.holds(case)


def ftrl_kernel(case: Case, parameter: str, problem: Problem) -> Iterator[NDArray[Any]]:
    """Yield a parameter after each update of MindSpore's FTRL: + l1 where sign(z) * l1 is meant."""
    given = {"lr_power": -0.5, "l1": 0.0, "l2": 0.0, "initial_accum": 0.1, "weight_decay": 0.0}
    given |= {"learning_rate": 0.001, "loss_scale": 1.0, **case["params"]}
    lr, power = given["learning_rate"], -given["lr_power"]
    p = np.array(problem[f"{parameter}0"])
    n, z = np.full_like(p, given["initial_accum"]), np.zeros_like(p)
    for grad in problem[f"grads_{parameter}"]:
        g = np.array(grad) + given["weight_decay"] * p
        z += g - ((n + g * g) ** power - n**power) / lr * p
        n += g * g
        p = np.where(
            np.abs(z) > given["l1"], (given["l1"] - z) / (n**power / lr + 2 * given["l2"]), 0
        )
        yield p


def rprop_kernel(case: Case, parameter: str, problem: Problem) -> Iterator[NDArray[Any]]:
    """Yield a parameter after each update of optax's rprop, which takes each step one late."""
    given = {"eta_minus": 0.5, "eta_plus": 1.2, "min_step_size": 1e-6, "max_step_size": 50.0}
    given |= case["params"]
    p = np.array(problem[f"{parameter}0"])
    size, waiting = np.full_like(p, given["learning_rate"]), np.zeros_like(p)
    for grad in problem[f"grads_{parameter}"][: len(case[parameter])]:
        agree = np.sign(np.array(grad) * waiting)
        factor = np.where(agree > 0, given["eta_plus"], given["eta_minus"])
        moved = np.clip(size * factor, given["min_step_size"], given["max_step_size"])
        size = np.where(agree == 0, size, moved)
        step = np.where(agree < 0, 0.0, size * np.sign(grad))
        p = p - np.where(agree < 0, 0.0, waiting)
        waiting = step
        yield p


RECTIFIED_FROM = 5


def is_rectified(case: Case) -> bool:
    """Return whether RAdam rectifies any recorded step: its average must be long enough."""
    beta2 = case["params"].get("betas", (0.9, 0.999))[1]
    longest = 2 / (1 - beta2) - 1
    lengths = (longest - 2 * t * beta2**t / (1 - beta2**t) for t in range(1, len(case["w"]) + 1))
    return any(length > RECTIFIED_FROM for length in lengths)


EXCEPTIONS = [
    Rule(
        "paddle",
        ("Momentum",),
        lambda case: case["params"].get("rescale_grad", 1.0) != 1.0,
        "the CPU kernel ignores rescale_grad, which the documentation multiplies gradients by",
        slip={"loss_scale": 1.0},
    ),
    Rule(
        "paddle_mp",
        ("SGD",),
        lambda case: bool(case["params"].get("multi_precision")),
        "the CPU kernel leaves the float32 master copy alone and updates bfloat16 in bfloat16",
        within=0.05,
    ),
    Rule(
        "paddle_sparse",
        ("Adam",),
        lambda case: not case["params"].get("lazy_mode") and case["dtype"] == "float64",
        "rows without a gradient get an eps that is not scaled by the bias correction, rows with "
        "one an eps that is",
        within=0.05,
    ),
    Rule(
        "mindspore",
        ("Adagrad",),
        lambda case: not case["params"].get("update_slots", True),
        "the CPU kernel updates accum although update_slots=False says it is not updated",
        slip={"update_slots": True},
    ),
    Rule(
        "mindspore",
        ("FTRL",),
        lambda case: case["params"].get("l1", 0.0) > 0,
        "the CPU kernel adds l1 also where z is negative; documented is sign(z) * l1",
        kernel=ftrl_kernel,
    ),
    Rule(
        "mindspore",
        ("Momentum",),
        lambda case: bool(case["params"].get("use_nesterov")),
        "the CPU kernel ignores use_nesterov, documented as p - (g * lr + v * momentum * lr)",
        recorded=False,
        slip={"kind": "momentum"},
    ),
    Rule(
        "mindspore",
        ("experimental.Adam",),
        lambda case: bool(case["params"].get("amsgrad")),
        "amsgrad is accepted and documented but reaches no kernel",
        slip={"amsgrad": False},
    ),
    Rule(
        "mindspore",
        ("experimental.Adagrad",),
        lambda case: case["dtype"] == "float64",
        "the float64 kernel departs from the float32 one, and from the documented formula, by 4e-2",
    ),
    Rule(
        "mindspore",
        ("experimental.RAdam",),
        is_rectified,
        "the rectification is computed in float32, where the difference it takes loses four digits",
        within=1e-3,
    ),
    Rule(
        "timm_variants",
        ("nadamlegacy",),
        lambda case: case["dtype"] == "float64",
        "the retired NAdamLegacy keeps the product of all mu in double; timm's nadam is torch's, "
        "which keeps it in float32",
        within=1e-7,
    ),
    Rule(
        "optax_more",
        ("rprop",),
        lambda case: True,
        "each step is taken one update late, so that the first is 0; the paper that the "
        "documentation names, and torch, take it at once",
        kernel=rprop_kernel,
    ),
]

COARSE = [
    Rule(
        "mindcv",
        ("mindcv.AdamW", "mindcv.Lion", "mindocr.AdamW", "mindocr.Lion"),
        lambda case: case["dtype"] == "float64",
        "the update is computed in float32, whatever the parameters",
    ),
    Rule(
        "timm_variants",
        ("radamlegacy",),
        lambda case: case["dtype"] == "float64",
        "RAdamLegacy converts float64 parameters and gradients to float32",
    ),
    Rule(
        "optax_chain",
        ("MultiSteps",),
        lambda case: case["dtype"] == "float64",
        "gradients are accumulated in float32, whatever the parameters",
    ),
    Rule(
        "optax_more",
        ("adafactor",),
        lambda case: case["dtype"] == "float64" and case["params"].get("momentum") is not None,
        "the mean of the steps is kept in float32, whatever the parameters",
    ),
    Rule(
        "mindspore",
        (
            "Momentum",
            "AdamWeightDecay",
            "RMSProp",
            "Adagrad",
            "AdaFactor",
            "AdaMax",
            "Adadelta",
            "Rprop",
            "ASGD",
            "experimental.Adadelta",
        ),
        lambda case: case["dtype"] == "float64" and is_float32(case),
        "float64 parameters come back as float32 numbers: the kernels work in float32",
    ),
    Rule(
        "mindspore",
        (
            "experimental.AdamW",
            "experimental.RMSprop",
            "experimental.Adamax",
            "experimental.NAdam",
            "experimental.RAdam",
            "experimental.Rprop",
            "experimental.ASGD",
        ),
        lambda case: case["dtype"] == "float64",
        "lr, bias corrections and 1 - beta are float32 tensors, whatever the parameters",
    ),
]


def is_float32(case: Case) -> bool:
    """Return whether every recorded number is one that float32 has."""
    numbers = np.array([*np.ravel(case["w"]), *np.ravel(case["b"])])
    return bool(np.all(numbers.astype(np.float32) == numbers))


def rule_of(rules: list[Rule], family: str, case: Case) -> Rule | None:
    """Return the first of *rules* that concerns *case*."""
    return next((rule for rule in rules if rule.takes(family, case)), None)
