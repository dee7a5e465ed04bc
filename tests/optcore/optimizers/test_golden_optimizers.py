"""Every rule and dialect against trajectories recorded from the frameworks themselves."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer
from tests.support.optcore.goldens import (
    Case,
    family,
    optimizer_families,
    parameters_of,
    translated,
)
from tests.support.optcore.words.exceptions import COARSE, EXCEPTIONS, Rule, rule_of
from tests.support.optcore.words.missing import NOT_HERE, is_missing
from tests.support.optcore.words.words import Words

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
FAMILIES = {name: family(f"optimizers_{name}") for name in optimizer_families()}
OWN = "GOLDEN_DIR" not in os.environ
RECORDED = {
    "article": 24,
    "article_tf": 12,
    "keras": 73,
    "mindspore": 100,
    "mindcv": 33,
    "paddle": 99,
    "paddle_mp": 1,
    "paddle_sparse": 18,
    "paddleocr": 13,
    "optax": 35,
    "optax_chain": 27,
    "optax_contrib": 36,
    "optax_more": 38,
    "transformers": 8,
    "tf1": 26,
    "muon": 20,
    "timm": 65,
    "timm_variants": 68,
    "torch": 68,
    "torch_sparse": 8,
}
"""Families, and how many cases each has."""
DENSE = [name for name in FAMILIES if not name.endswith("_sparse")]
SPARSE = [name for name in FAMILIES if name.endswith("_sparse")]
SHAPES = {"w": (4, 3), "b": (3,)}
"""Shapes of the parameters, in recordings that do not say them."""


def cases(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, case, id=case["id"])
        for name in names
        for case in FAMILIES[name]["cases"]
        if not is_missing(name, case)
    ]


@pytest.mark.parametrize(("name", "case"), cases(DENSE))
def test_the_trajectory_is_the_frameworks_own(name: str, case: Case) -> None:
    words = translated(name, case)
    rule = rule_of(EXCEPTIONS, name, case)
    if rule is None:
        same_trajectory(name, case, words)
    elif rule.slip is not None:
        same_trajectory(name, case, words.slipped(rule.slip))
    elif rule.kernel is not None:
        the_kernel_explains(rule.kernel, name, case, words)
    elif rule.within is not None:
        same_trajectory(name, case, words, rule.within)


def the_kernel_explains(kernel: Any, name: str, case: Case, words: Words) -> None:
    """Compare the recording with what the kernel is known to do."""
    for parameter in words.only:
        for step, values in enumerate(kernel(case, parameter, FAMILIES[name]["problem"])):
            near(values, case[parameter][step], 2e-6, f"{parameter}, step {step}")


@pytest.mark.parametrize("rule", EXCEPTIONS, ids=lambda rule: "-".join(rule.optimizers))
def test_where_a_kernel_contradicts_its_documentation_our_result_differs(rule: Rule) -> None:
    concerned = [
        (name, case)
        for name in FAMILIES
        for case in FAMILIES[name]["cases"]
        if rule_of(EXCEPTIONS, name, case) is rule
    ]
    if not concerned:
        pytest.skip("no recording has such a case")

    seen = [differs(name, case) for name, case in concerned]

    # Other recordings may have hyperparameters so small that one case does not show it.
    assert all(seen) if OWN else any(seen), rule.reason


def differs(name: str, case: Case) -> bool:
    try:
        if name in SPARSE:
            same_sparse_trajectory(name, case)
        else:
            same_trajectory(name, case, translated(name, case))
    except AssertionError:
        return True
    return False


def same_trajectory(name: str, case: Case, words: Words, within: float | None = None) -> None:
    """Compare each step, as precisely as was recorded unless *within* says how near."""
    problem = FAMILIES[name]["problem"]
    for engine in ("eager", "auto"):
        for step, ours in enumerate(trajectory(words, case, problem, engine)):
            for parameter in words.only:
                theirs = case.get(f"{parameter}_scalar") or case[parameter]
                where = f"{parameter}, step {step}"
                if within is None:
                    close(ours[parameter], theirs[step], bar(name, case), where)
                else:
                    near(ours[parameter], theirs[step], within, where)
        if finals_of(case):
            finals_are_close(words, case, problem, bar(name, case))


@pytest.mark.parametrize(("name", "case"), cases(SPARSE))
def test_the_trajectory_with_row_sparse_gradients_is_the_frameworks_own(
    name: str, case: Case
) -> None:
    rule = rule_of(EXCEPTIONS, name, case)
    same_sparse_trajectory(name, case, None if rule is None else rule.within)


def same_sparse_trajectory(name: str, case: Case, within: float | None = None) -> None:
    """Compare each step, as precisely as was recorded unless *within* says how near."""
    words = translated(name, case)
    for step, ours in enumerate(sparse_trajectory(words, case, FAMILIES[name]["problem"])):
        if within is None:
            close(ours, case["w"][step], bar(name, case), f"step {step}")
        else:
            near(ours, case["w"][step], within, f"step {step}")


def bar(name: str, case: Case) -> str:
    """Return the precision that the recording has."""
    return "float32" if rule_of(COARSE, name, case) else str(case["dtype"])


def test_exceptions_are_few_and_each_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    recordings = [(name, case) for name in FAMILIES for case in FAMILIES[name]["cases"]]
    everything = [(name, case) for name, case in recordings if not is_missing(name, case)]
    missing = Counter(case["optimizer"] for name, case in recordings if is_missing(name, case))
    taken = Counter(
        rule.reason for name, case in everything if (rule := rule_of(EXCEPTIONS, name, case))
    )
    coarse = Counter(
        rule.reason for name, case in everything if (rule := rule_of(COARSE, name, case))
    )

    with capsys.disabled():
        sys.stdout.write(f"\n{len(everything)} cases; exceptions, {sum(taken.values())} in all:\n")
        sys.stdout.writelines(f"  {count:3} {reason}\n" for reason, count in taken.items())
        sys.stdout.write(f"compared as float32, {sum(coarse.values())} in all:\n")
        sys.stdout.writelines(f"  {count:3} {reason}\n" for reason, count in coarse.items())
        sys.stdout.write(f"of rules that are not here, {sum(missing.values())} in all:\n")
        sys.stdout.writelines(f"  {count:3} {name}\n" for name, count in sorted(missing.items()))

    assert sum(taken.values()) <= 0.03 * len(everything)
    if OWN:
        for rule in EXCEPTIONS + COARSE:
            assert (rule.reason in taken | coarse) == rule.recorded, rule.reason


@pytest.mark.parametrize(
    ("name", "optimizer"), [(name, missing) for name in NOT_HERE for missing in NOT_HERE[name]]
)
def test_what_is_listed_as_not_here_is_recorded(name: str, optimizer: str) -> None:
    if name not in FAMILIES or not OWN:
        pytest.skip("not in this folder")

    assert any(case["optimizer"] == optimizer for case in FAMILIES[name]["cases"])


@pytest.mark.skipif(not OWN, reason="GOLDEN_DIR names other recordings")
def test_every_recording_is_read() -> None:
    """A folder that lost its files, or a translation that gave up, would prove nothing."""
    assert {name: len(FAMILIES[name]["cases"]) for name in FAMILIES} == RECORDED


def trajectory(
    words: Words, case: Case, problem: dict[str, Any], engine: str
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the parameters after each step, by name."""
    for now, _, _ in steps(words, case, problem, engine):
        yield now


def steps(words: Words, case: Case, problem: dict[str, Any], engine: str) -> Iterator[Any]:
    """Yield the numbers after each step, the optimizer, and its parameters."""
    dtype = DTYPES[case["dtype"]]
    shapes = problem.get("shapes", SHAPES)
    start = {
        name: recorded(problem[f"{name}0"], dtype).reshape(shapes[name]).requires_grad_()
        for name in words.only
    }
    optimizers = [
        optcore.make_optimizer(
            [(name, start[name]) for name in names],
            {**spec, "engine": engine},
            loss_scale=words.loss_scale,
            ema=words.ema,
        )
        for names, spec in words.specs()
    ]
    for step in range(len(case[words.only[0]])):
        for optimizer in optimizers:
            set_lr(optimizer, words, step)
        for name, param in start.items():
            grad = recorded(problem[f"grads_{name}"][step], dtype).reshape(shapes[name])
            grad = grad * words.feed / words.accumulate
            param.grad = grad if param.grad is None else param.grad + grad
        if (step + 1) % words.accumulate == 0:
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        yield {name: numbers(param) for name, param in start.items()}, optimizers[0], start


def finals_are_close(words: Words, case: Case, problem: dict[str, Any], dtype: str) -> None:
    """Compare what is evaluated at the end: an average of the parameters."""
    *_, (_, optimizer, start) = steps(words, case, problem, "eager")
    finals = finals_of(case)
    with optimizer.averaged():
        for name, param in start.items():
            close(numbers(param), finals[name], dtype, f"final {name}")


def finals_of(case: Case) -> dict[str, list[float]]:
    """Return parameter -> what is evaluated at the end, if that was recorded."""
    if "eval_final" in case:
        return dict(case["eval_final"])
    return {name: case[f"{name}_final"] for name in parameters_of(case) if f"{name}_final" in case}


def sparse_trajectory(words: Words, case: Case, problem: dict[str, Any]) -> Iterator[NDArray[Any]]:
    """Yield the embedding after each step."""
    dtype = DTYPES[case["dtype"]]
    w = recorded(problem["w0"], dtype).reshape(6, 3).requires_grad_()
    optimizer = optcore.make_optimizer([("w", w)], words.spec, loss_scale=words.loss_scale)
    for step, (ids, rows) in enumerate(zip(problem["ids"], problem["grad_rows"], strict=True)):
        set_lr(optimizer, words, step)
        values = recorded(rows, dtype).reshape(len(ids), 3)
        w.grad = torch.sparse_coo_tensor(torch.tensor([ids]), values, (6, 3), check_invariants=True)
        optimizer.step()
        yield numbers(w)


def set_lr(optimizer: FlatOptimizer, words: Words, step: int) -> None:
    for group in optimizer.param_groups:
        lrs = words.lrs.get(group["param_names"][0], words.lrs.get(""))
        if lrs is not None:
            group["lr"] = lrs[step]


def recorded(values: list[float], dtype: torch.dtype) -> Tensor:
    """Return the problem's numbers: float32, cast exactly."""
    return torch.tensor(values, dtype=torch.float32).to(dtype)


def numbers(param: Tensor) -> NDArray[Any]:
    return param.detach().to(torch.promote_types(param.dtype, torch.float32)).numpy().ravel()


def close(ours: NDArray[Any], theirs: list[float], dtype: str, where: str) -> None:
    expected = np.array(theirs)
    if dtype == "float64":
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-15, err_msg=where)
    else:
        near(ours, theirs, 2e-6, where)


def near(ours: NDArray[Any], theirs: list[float], share: float, where: str) -> None:
    expected = np.array(theirs)
    allowed = share * max(1.0, float(np.abs(expected).max()))
    assert np.abs(ours - expected).max() <= allowed, where
