"""Every rule and dialect against trajectories recorded from the frameworks themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import optcore
from optcore.optimizers.optimizer import FlatOptimizer
from tests.optcore.goldens import Case, family, optimizer_families, translated
from tests.optcore.words.words import Words

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
FAMILIES = {name: family(f"optimizers_{name}") for name in optimizer_families()}
DENSE = [name for name in FAMILIES if not name.endswith("_sparse")]
SPARSE = [name for name in FAMILIES if name.endswith("_sparse")]


def cases(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, case, id=case["id"]) for name in names for case in FAMILIES[name]["cases"]
    ]


@pytest.mark.parametrize(("name", "case"), cases(DENSE))
def test_the_trajectory_is_the_frameworks_own(name: str, case: Case) -> None:
    words = translated(name, case)
    for engine in ("eager", "auto"):
        for step, ours in enumerate(trajectory(words, case, FAMILIES[name]["problem"], engine)):
            for parameter in words.only:
                theirs = case.get(f"{parameter}_scalar", case[parameter])[step]
                close(ours[parameter], theirs, case["dtype"], f"{parameter} at step {step}")


@pytest.mark.parametrize(("name", "case"), cases(SPARSE))
def test_the_trajectory_with_row_sparse_gradients_is_the_frameworks_own(
    name: str, case: Case
) -> None:
    words = translated(name, case)
    for step, ours in enumerate(sparse_trajectory(words, case, FAMILIES[name]["problem"])):
        close(ours, case["w"][step], case["dtype"], f"step {step}")


def trajectory(words: Words, case: Case, problem: dict[str, Any], engine: str) -> Any:
    """Yield the parameters after each step, by name."""
    dtype = DTYPES[case["dtype"]]
    shapes = {"w": (4, 3), "b": (3,)}
    start = {
        name: recorded(problem[f"{name}0"], dtype).reshape(shapes[name]).requires_grad_()
        for name in words.only
    }
    optimizer = optcore.make_optimizer(start.items(), {**words.spec, "engine": engine})
    for step in range(len(problem["grads_w"])):
        set_lr(optimizer, words, step)
        for name, param in start.items():
            grad = recorded(problem[f"grads_{name}"][step], dtype).reshape(shapes[name])
            grad = grad * words.feed / words.accumulate
            param.grad = grad if param.grad is None else param.grad + grad
        if (step + 1) % words.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        yield {name: numbers(param) for name, param in start.items()}


def sparse_trajectory(words: Words, case: Case, problem: dict[str, Any]) -> Any:
    """Yield the embedding after each step."""
    dtype = DTYPES[case["dtype"]]
    w = recorded(problem["w0"], dtype).reshape(6, 3).requires_grad_()
    optimizer = optcore.make_optimizer([("w", w)], words.spec)
    for step, (ids, rows) in enumerate(zip(problem["ids"], problem["grad_rows"], strict=True)):
        set_lr(optimizer, words, step)
        values = recorded(rows, dtype).reshape(len(ids), 3)
        w.grad = torch.sparse_coo_tensor(
            torch.tensor([ids]), values, (6, 3), check_invariants=True
        )
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
        allowed = 2e-6 * max(1.0, float(np.abs(expected).max()))
        assert np.abs(ours - expected).max() <= allowed, where
