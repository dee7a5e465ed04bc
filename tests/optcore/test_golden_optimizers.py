"""Every rule and dialect against trajectories recorded from the frameworks themselves."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import optcore
from tests.optcore.goldens import Case, NotYet, family, optimizer_spec

FAMILIES = {
    "optimizers_torch": "torch",
    "optimizers_paddle": "paddle",
    "optimizers_article": "article",
    "optimizers_article_tf": "article",
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def cases() -> list[Any]:
    found = []
    for name, framework in FAMILIES.items():
        recorded = family(name)
        for case in recorded["cases"]:
            try:
                spec = optimizer_spec(framework, case)
            except NotYet:
                continue
            found.append(pytest.param(spec, case, recorded["problem"], id=case["id"]))
    return found


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize(("spec", "case", "problem"), cases())
def test_the_trajectory_is_the_frameworks_own(
    spec: dict[str, Any], case: Case, problem: dict[str, Any], engine: str
) -> None:
    dtype = DTYPES[case["dtype"]]
    w = recorded(problem["w0"], dtype).reshape(4, 3).requires_grad_()
    b = recorded(problem["b0"], dtype).requires_grad_()
    optimizer = optcore.make_optimizer([("w", w), ("b", b)], {**spec, "engine": engine})

    for step, (grad_w, grad_b) in enumerate(
        zip(problem["grads_w"], problem["grads_b"], strict=True)
    ):
        w.grad = recorded(grad_w, dtype).reshape(4, 3)
        b.grad = recorded(grad_b, dtype)
        optimizer.step()

        for ours, theirs in ((w, case["w"][step]), (b, case["b"][step])):
            close(ours.detach().numpy().ravel(), np.array(theirs), dtype, f"step {step}")


def recorded(values: list[float], dtype: torch.dtype) -> torch.Tensor:
    """Return the problem's numbers: float32, cast exactly."""
    return torch.tensor(values, dtype=torch.float32).to(dtype)


def close(ours: NDArray[Any], theirs: NDArray[Any], dtype: torch.dtype, where: str) -> None:
    if dtype == torch.float64:
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15, err_msg=where)
    else:
        allowed = 2e-6 * max(1.0, float(np.abs(theirs).max()))
        assert np.abs(ours - theirs).max() <= allowed, where


def test_the_translation_knows_every_family_there_is() -> None:
    """A translation that gave up on everything would make the test above pass on nothing."""
    known = {(case.values[1]["id"].split(".")[0]) for case in cases()}

    assert known == {name.removeprefix("optimizers_") for name in FAMILIES if family(name)["cases"]}
