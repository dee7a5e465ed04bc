"""Limits on the change of the parameters, and clips that look at one parameter or its units."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import optcore
from optcore.spec.errors import SpecError
from tests.support.optcore.updates.optimizer_steps import network, train, weights

SHAPES = {"w": (4, 3), "b": (3,), "k": (3, 2, 2, 2)}


def params(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {
        name: torch.randn(shape, dtype=torch.float64).requires_grad_()
        for name, shape in SHAPES.items()
    }


def changes(spec: dict[str, Any], grads: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the change of each parameter in the first update with *grads*."""
    given = params()
    before = {name: param.detach().clone() for name, param in given.items()}
    optimizer = optcore.make_optimizer(given.items(), spec)
    for name, param in given.items():
        param.grad = grads[name].clone()
    optimizer.step()
    return {name: param.detach() - before[name] for name, param in given.items()}


def gradients() -> dict[str, Tensor]:
    return {name: param.detach() * 3 for name, param in params(1).items()}


def norm(tensors: dict[str, Tensor]) -> float:
    return float(torch.cat([tensor.flatten() for tensor in tensors.values()]).norm())


def test_a_change_above_the_limit_is_scaled_to_it_as_a_whole() -> None:
    spec = {"kind": "adam", "lr": 0.1}
    free = changes(spec, gradients())
    clip = {"kind": "global_norm", "max": 0.2}

    limited = changes({**spec, "clip_update": clip}, gradients())

    assert norm(free) > 0.2
    assert norm(limited) == pytest.approx(0.2, rel=1e-12)
    for name in SHAPES:
        torch.testing.assert_close(limited[name], free[name] * (0.2 / norm(free)))


@pytest.mark.parametrize("kind", ["norm", "rms", "value"])
def test_other_limits_look_at_one_parameter_or_one_number(kind: str) -> None:
    spec = {"kind": "sgd", "lr": 1.0}
    sizes: dict[str, Any] = {
        "norm": torch.linalg.vector_norm,
        "rms": lambda change: change.square().mean().sqrt(),
        "value": lambda change: change.abs().max(),
    }

    limited = changes({**spec, "clip_update": {"kind": kind, "max": 0.5}}, gradients())

    for change in limited.values():
        assert float(sizes[kind](change)) == pytest.approx(0.5, rel=1e-9)


def test_a_change_below_the_limit_keeps_its_bits() -> None:
    ours, theirs = network(), network()
    spec = {"kind": "adam", "lr": 1e-3}
    clip = {"clip_update": {"kind": "global_norm", "max": 100.0}}

    train(ours, optcore.make_optimizer(ours.named_parameters(), {**spec, **clip}), range(3))
    train(theirs, optcore.make_optimizer(theirs.named_parameters(), spec), range(3))

    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(theirs), strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"multi_precision": True}, "clip_update must be null if multi_precision"),
        (
            {"groups": [{"match": "b", "clip_update": None}]},
            "clip_update applies to all groups: set it in the optimizer, not in a group",
        ),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(given: dict[str, Any], message: str) -> None:
    spec = {"kind": "sgd", "lr": 0.1, "clip_update": {"kind": "norm", "max": 1.0}, **given}

    with pytest.raises(SpecError, match=message):
        optcore.make_optimizer(params().items(), spec)


def test_a_gradient_is_limited_by_its_root_mean_square() -> None:
    grads = gradients()

    limited = changes({"kind": "sgd", "lr": 1.0, "clip": {"kind": "rms", "max": 0.5}}, grads)

    for name, grad in grads.items():
        factor = 0.5 / max(0.5, float(grad.square().mean().sqrt()))
        torch.testing.assert_close(limited[name], -grad * factor)


@pytest.mark.parametrize(
    ("dialect", "dims"),
    [
        ("torch", {"w": (1,), "b": (0,), "k": (1, 2, 3)}),
        ("optax", {"w": (0,), "b": (0,), "k": (0, 1, 2)}),
    ],
)
def test_a_unit_is_what_makes_one_output(dialect: str, dims: dict[str, tuple[int, ...]]) -> None:
    clip = {"kind": "adaptive", "max": 0.1, "eps": 0.01}
    spec = {"kind": "sgd", "dialect": dialect, "lr": 1.0, "clip": clip}
    grads, before = gradients(), params()

    limited = changes(spec, grads)

    for name, grad in grads.items():
        unit: dict[str, Any] = {"dim": dims[name], "keepdim": True}
        largest = torch.linalg.vector_norm(before[name].detach(), **unit).clamp(min=0.01) * 0.1
        found = torch.linalg.vector_norm(grad, **unit)
        expected = torch.where(found < largest, grad, grad * largest / found.clamp(min=1e-6))
        torch.testing.assert_close(limited[name], -expected)


def test_the_units_of_a_channels_last_parameter_are_the_same() -> None:
    clip = {"kind": "adaptive", "max": 0.1}
    seen = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        kernel = params()["k"].detach().to(memory_format=memory_format).requires_grad_()
        optimizer = optcore.make_optimizer(
            [("k", kernel)], {"kind": "sgd", "lr": 1.0, "clip": clip}
        )
        kernel.grad = gradients()["k"]
        optimizer.step()
        seen.append(kernel.detach().contiguous())

    torch.testing.assert_close(seen[0], seen[1])
