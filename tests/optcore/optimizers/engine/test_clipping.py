"""Clipping: by value, by norm, and by a global norm of all groups or of one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optcore
from optcore.optimizers.engine.transforms.clipping import global_norm


def test_a_norm_per_group_limits_each_group_separately() -> None:
    """Paddle clips every parameter group by itself; a ParamAttr makes no group there."""
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    optimizer = optcore.make_optimizer(
        [("a", a), ("b", b)],
        {
            "kind": "sgd",
            "lr": 1.0,
            "dialect": "paddle",
            "clip": {"kind": "global_norm", "max": 1.0, "per_group": True},
            "groups": [{"match": "a", "weight_decay": 0.1}],
        },
    )
    a.grad, b.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    optimizer.step()

    torch.testing.assert_close(a.detach(), torch.tensor([-0.6, -0.8]))
    torch.testing.assert_close(b.detach(), torch.tensor([-0.3, -0.4]))


GLOBAL = {"kind": "global_norm", "max": 1.0}


@pytest.mark.parametrize(
    ("clip", "own", "moved"),
    [
        (GLOBAL, None, ([3.0, 4.0], [0.6, 0.8], [0.0, 0.0])),
        (GLOBAL, {"kind": "global_norm", "max": 2.5}, ([1.5, 2.0], [0.6, 0.8], [0.0, 0.0])),
        (GLOBAL, {"kind": "norm", "max": 2.5}, ([1.5, 2.0], [0.6, 0.8], [0.0, 0.0])),
        (GLOBAL, {"kind": "value", "max": 3.5}, ([3.0, 3.5], [0.6, 0.8], [0.0, 0.0])),
        ({"kind": "norm", "max": 2.5}, None, ([3.0, 4.0], [1.5, 2.0], [0.0, 0.0])),
        ({"kind": "value", "max": 3.5}, None, ([3.0, 4.0], [3.5, 3.5], [0.0, 0.0])),
        (None, {"kind": "global_norm", "max": 1.0}, ([0.6, 0.8], [6.0, 8.0], [0.0, 0.0])),
    ],
)
@pytest.mark.parametrize("loss_scale", [1.0, 8.0])
@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_a_group_is_clipped_by_its_own_clip_and_counts_in_no_norm_of_the_others(
    clip: dict[str, Any] | None,
    own: dict[str, Any] | None,
    moved: tuple[list[float], ...],
    loss_scale: float,
    engine: str,
) -> None:
    """As Paddle clips a group by its grad_clip, and a ParamAttr(need_clip=False) not at all."""
    params = {name: torch.zeros(2, requires_grad=True) for name in ("a", "b", "c")}
    optimizer = optcore.make_optimizer(
        params.items(),
        {
            "kind": "momentum",
            "lr": 1.0,
            "dialect": "paddle" if engine == "eager" else "torch",
            "engine": engine if engine == "eager" else "auto",
            "clip": clip,
            "groups": [{"match": "a", "clip": own}],
        },
        loss_scale=loss_scale,
    )
    for name, grad in (("a", [3.0, 4.0]), ("b", [6.0, 8.0]), ("c", [0.0, 0.0])):
        params[name].grad = loss_scale * torch.tensor(grad)
    optimizer.step()

    for param, expected in zip(params.values(), moved, strict=True):
        torch.testing.assert_close(-param.detach(), torch.tensor(expected), rtol=3e-6, atol=1e-7)


def test_a_group_that_decay_splits_is_clipped_by_the_norm_of_the_whole_group() -> None:
    params = {name: torch.zeros(2, requires_grad=True) for name in ("a.w", "a.b", "c")}
    optimizer = optcore.make_optimizer(
        params.items(),
        {
            "kind": "adamw",
            "dialect": "paddleocr",
            "no_weight_decay_name": "b",
            "clip": {"kind": "global_norm", "max": 100.0},
            "groups": [{"match": "a.*", "clip": {"kind": "global_norm", "max": 1.0}}],
        },
    )
    for param in params.values():
        param.grad = torch.tensor([0.0, 2.0])

    factors = dict(
        zip(
            [tuple(group["param_names"]) for group in optimizer.param_groups],
            optimizer._grad_scales.factors(optimizer.param_groups),
            strict=True,
        )
    )

    shared = pytest.approx(1 / 8**0.5)
    assert factors == {("a.b",): shared, ("a.w",): shared, ("c",): 1.0}


@pytest.mark.parametrize(
    "dtypes",
    [
        (torch.bfloat16, torch.float64),
        (torch.float64, torch.bfloat16),
        (torch.float32, torch.float16),
    ],
    ids=str,
)
def test_a_global_norm_is_that_of_parameters_of_several_dtypes(
    dtypes: tuple[torch.dtype, ...],
) -> None:
    """Each is measured in float32 at least: these norms in float16 would be infinite."""
    params = [torch.zeros(2, dtype=dtype, requires_grad=True) for dtype in dtypes]
    for param in params:
        param.grad = torch.full((2,), 60_416.0, dtype=param.dtype)

    norm = global_norm(params)

    assert norm == pytest.approx(2 * 60_416.0, rel=1e-6)
