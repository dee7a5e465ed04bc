"""Engines: the traced program against the rule it is of, torch's kernels, and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import optcore
from optcore.optimizers.engine.engines import Eager
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.engine.transforms.traced import only
from tests.support.optcore.updates.optimizer_specs import TORCH, made
from tests.support.optcore.updates.optimizer_steps import network, same_bits, train

SPECS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in TORCH),
    {"kind": "momentum", "dampening": 0.3},
    {"kind": "adagrad", "lr_decay": 0.1, "initial_accumulator_value": 0.2},
    {"kind": "rmsprop", "centered": True, "momentum": 0.5},
    {"kind": "adam", "dialect": "paddle"},
    {"kind": "nesterov", "dialect": "article"},
    {"kind": "rmsprop", "dialect": "paddle", "momentum": 0.5, "lr": 0.01},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_program_gives_the_bits_of_the_pure_rule(spec: dict[str, Any]) -> None:
    """Writing in place and into scratch buffers changes no operation and no rounding."""
    model = network()
    if spec.get("dialect") != "article":
        spec = {**spec, "weight_decay": 0.01}
    optimizer = optcore.make_optimizer(model.named_parameters(), {**spec, "engine": "eager"})
    train(model, optimizer, range(3))
    model(torch.ones(2, 300)).square().mean().backward()
    expected = dict(pure_step(model, optimizer, t=4))

    optimizer.step()

    slots = optimizer.named_slots()
    for name, param in model.named_parameters():
        after = [param.detach(), *(slots[slot][name] for slot in slots)]
        assert same_bits(after, expected[name]), name


def pure_step(
    model: nn.Module, optimizer: FlatOptimizer, *, t: int
) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield what the bare rule makes of each parameter and its slots at update *t*."""
    update = optimizer._group_updates[0]
    numbers = {**update.rounded_numbers(optimizer.param_groups[0]), "grad_scale": 1.0}
    slots = optimizer.named_slots()
    if update.rule.carries is not None:
        for name, first in update.rule.carries(0, numbers, update.flags).items():
            if name in slots:
                left = float(next(iter(slots.pop(name).values())))
            else:
                assert update.rule.implied is not None
                left = update.rule.implied(t - 1, numbers, update.flags)[name]
            numbers[name] = first if t == 1 else left
    given = {**numbers, **update.flags, **update.rule.scalars(t, numbers, update.flags)}
    arguments = only(given, update.rule.update)
    for name, param in model.named_parameters():
        old = [param.detach().clone(), param.grad, *(slots[slot][name].clone() for slot in slots)]
        yield name, [tensor.clone() for tensor in update.rule.update(*old, **arguments)]


@pytest.mark.parametrize(("size", "engine"), [(65_535, "eager"), (65_536, "fused")])
def test_auto_takes_the_engine_that_is_faster_for_the_size(size: int, engine: str) -> None:
    named = [("w", torch.zeros(size, requires_grad=True))]

    assert optcore.make_optimizer(named, {"kind": "sgd"}).engine == engine
    assert optcore.make_optimizer(named, {"kind": "sgd", "engine": "fused"}).engine == "fused"
    assert optcore.make_optimizer(named, {"kind": "adam"}).engine == "fused"


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("size", [100, 200_000])
def test_rmsprops_kernel_leaves_the_gradient_alone(weight_decay: float, size: int) -> None:
    param = torch.rand(size, requires_grad=True)
    param.grad = torch.rand(size)
    param.grad[:2] = torch.tensor([float("inf"), float("nan")])
    before, version = param.grad.clone(), param.grad._version
    settings = {"kind": "rmsprop", "engine": "fused", "weight_decay": weight_decay}

    optcore.make_optimizer([("w", param)], settings).step()

    torch.testing.assert_close(param.grad, before, rtol=0, atol=0, equal_nan=True)
    assert param.grad._version == version


@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_a_gradient_that_is_not_finite_changes_only_its_own_coordinate(engine: str) -> None:
    params = [torch.ones(70_000, requires_grad=True), torch.ones(3, requires_grad=True)]
    optimizer = optcore.make_optimizer(
        [("a", params[0]), ("b", params[1])], {"kind": "rmsprop", "engine": engine}
    )
    for _ in range(2):
        for param in params:
            param.grad = torch.ones_like(param)
        params[0].grad[5] = float("nan")  # type: ignore[index]
        optimizer.step()

    bad = [param.detach().isnan().nonzero().tolist() for param in params]
    assert bad == [[[5]], []]


@pytest.mark.parametrize("kind", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss_scale", [1.0, 8.0])
def test_torchs_kernel_moves_every_16_bit_parameter(
    kind: str, dtype: torch.dtype, loss_scale: float
) -> None:
    """By itself it leaves those of whole vectors as they are (pytorch issue 191763)."""
    size = 100_003
    narrow, wide = torch.ones(size, dtype=dtype), torch.ones(size)
    spec = {"kind": kind, "engine": "fused", "lr": 0.1, "weight_decay": 0.1}
    for param in (narrow, wide):
        param.requires_grad = True
        optimizer = made([("w", param)], spec, loss_scale=loss_scale)
        assert optimizer.engine == "fused"
        for step in range(4):
            param.grad = torch.full_like(param, loss_scale * (step - 2.5))
            optimizer.step()

    torch.testing.assert_close(narrow.float(), wide, rtol=4 * torch.finfo(dtype).eps, atol=0.0)


def test_a_momentum_that_comes_later_is_refused_by_rmsprops_kernel() -> None:
    param = torch.ones(3, requires_grad=True)
    param.grad = torch.ones(3)
    optimizer = optcore.make_optimizer([("w", param)], {"kind": "rmsprop", "engine": "fused"})
    optimizer.param_groups[0]["momentum"] = 0.9

    with pytest.raises(ValueError, match="momentum must be 0, as it was when the optimizer"):
        optimizer.step()


@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_scratch_is_at_most_a_twentieth_of_a_large_model(engine: str) -> None:
    size = 8_000_000
    weight = nn.Parameter(torch.zeros(size))
    optimizer = optcore.make_optimizer(
        [("w", weight)], {"kind": "rmsprop", "lr": 0.1, "engine": engine}
    )
    weight.grad = torch.ones(size)
    optimizer.step()  # traces, and makes its scratch

    with _Allocations() as allocations:  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()

    if isinstance(optimizer._group_updates[0].engine, Eager):
        assert 0 < optimizer._group_updates[0].engine.scratch_bytes <= weight.nbytes / 20
    assert allocations.largest <= weight.nbytes / 20


class _Allocations(torch.utils._python_dispatch.TorchDispatchMode):
    """Records the largest tensor that an operation returns in new memory."""

    largest = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {
            t.untyped_storage().data_ptr()
            for t in [*args, *(kwargs or {}).values()]
            if isinstance(t, Tensor)
        }
        if isinstance(result, Tensor) and result.untyped_storage().data_ptr() not in known:
            self.largest = max(self.largest, result.untyped_storage().nbytes())
        return result


TOGETHER: list[dict[str, Any]] = [
    {"kind": "novograd"},
    {"kind": "novograd", "dialect": "timm", "weight_decay": 0.1},
    {"kind": "novograd", "dialect": "optax", "clip": {"kind": "value", "max": 0.05}},
    {"kind": "novograd", "maximize": True, "l1": 0.01},
    {"kind": "sm3"},
    {"kind": "sm3", "weight_decay": 0.1, "ema": {"kind": "keras", "decay": 0.9}},
    {"kind": "sm3", "weight_decay": 0.1, "l2": 0.01},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", TOGETHER, ids=str)
def test_small_parameters_in_one_call_have_the_bits_of_each_alone(
    spec: dict[str, Any], dtype: torch.dtype
) -> None:
    """One gradient is missing in the second update, so that the counts differ from then on."""
    shapes = [(7, 3), (5,), (), (4, 3, 2, 2), (0,), (129,), (2, 9), (9_000,), (70_000,)]
    together, alone = (
        {f"p{i}": torch.ones(s, dtype=dtype, requires_grad=True) for i, s in enumerate(shapes)}
        for _ in range(2)
    )
    whole = made(together.items(), {**spec, "lr": 0.01}, loss_scale=2.0)
    each = [made([pair], {**spec, "lr": 0.01}, loss_scale=2.0) for pair in alone.items()]

    for step in range(4):
        for i, name in enumerate(alone):
            grad = torch.randn(shapes[i], generator=torch.Generator().manual_seed(step)).to(dtype)
            if grad.ndim == 2:
                grad[0] = 0  # a row without gradients
            alone[name].grad = together[name].grad = None if (step, i) == (1, 3) else grad
        whole.step()
        for one, param in zip(each, alone.values(), strict=True):
            if param.grad is not None:
                one.step()

    slots = whole.named_slots()
    for one, name in zip(each, alone, strict=True):
        mine = {slot: by[name] for slot, by in one.named_slots().items()}
        found = {slot: slots[slot][name] for slot in mine}
        assert same_bits(
            [together[name].detach(), *found.values()], [alone[name].detach(), *mine.values()]
        ), name
