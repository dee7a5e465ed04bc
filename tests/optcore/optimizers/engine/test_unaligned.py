"""Without alignment, ranges end with the last element, as in 0.2.0."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from optcore.optimizers.engine.group_update import compile_group
from optcore.optimizers.engine.memory.segments import ALIGNMENT_BYTES, LARGE, Spans, rounded_up
from optcore.optimizers.make import make_optimizer, parse
from tests.support.optcore.updates.pure import same

SHAPES = {"a": (5, 9), "large": (LARGE + 15,), "b": (31,), "other": (40_001,), "z": (7,)}
KINDS = [
    *({"kind": kind, "engine": "fused"} for kind in ("adam", "adamw", "momentum", "rmsprop")),
    {"kind": "rmsprop", "engine": "fused", "weight_decay": 0.1},
    *({"kind": kind, "engine": "eager"} for kind in ("madgrad", "lion", "sgd", "rmsprop")),
    {"kind": "lion", "engine": "eager", "multi_precision": True},
]


def drawn(step: int, dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {
        name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()
    }


def optimizer_of(params: dict[str, Tensor], spec: dict[str, Any]) -> Any:
    optimizer = make_optimizer(params.items(), {"lr": 0.01, **spec})
    optimizer.align(False)
    return optimizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("spec", KINDS, ids=str)
def test_small_parameters_are_one_range_and_each_large_one_is_another(
    spec: dict[str, Any], dtype: torch.dtype
) -> None:
    params = {name: values.requires_grad_() for name, values in drawn(0, dtype).items()}
    optimizer = optimizer_of(params, spec)
    (state,) = optimizer.states()

    for step in range(1, 4):
        for name, grad in drawn(step, dtype).items():
            params[name].grad = grad
        ((_, spans),) = copy.copy(state).updates()
        assert not spans.aligned
        lengths = [tensor.numel() for tensor in spans.params]
        alignment = ALIGNMENT_BYTES // dtype.itemsize
        *before, last = (torch.Size(SHAPES[name]).numel() for name in ("a", "b", "other", "z"))
        small = sum(rounded_up(size, alignment) for size in before) + last
        assert lengths == [LARGE + 15, small]
        assert [tensor.numel() for tensor in spans.grads] == lengths
        optimizer.step()


def test_an_eager_engine_takes_slices_of_one_length() -> None:
    """Whatever the number of threads: the last slice alone is shorter."""
    update = compile_group(parse({"kind": "adam", "engine": "eager"}), single_precision=True)
    seen: list[int] = []
    size = 300_001
    span = [torch.zeros(size) for _ in range(4)]
    take = update.engine._scratch.take  # type: ignore[attr-defined]

    def looked(count: int, like: Tensor) -> list[Tensor]:
        seen.append(like.numel())
        found: list[Tensor] = take(count, like)
        return found

    update.engine._scratch.take = looked  # type: ignore[attr-defined]
    numbers = {**update.numbers, "grad_scale": 1.0}
    spans = Spans([span[0]], [span[1]], [[span[2]], [span[3]]], aligned=False)
    update.engine(spans, 1, numbers)

    assert seen == [131_072, 131_072, size - 2 * 131_072]


@pytest.mark.parametrize("spec", [KINDS[0], KINDS[5]], ids=str)
def test_a_copy_and_a_state_that_moves_keep_their_ranges(spec: dict[str, Any]) -> None:
    params = {name: values.requires_grad_() for name, values in drawn(0, torch.float32).items()}
    optimizer = optimizer_of(params, spec)
    again = copy.deepcopy(optimizer)

    for each in (optimizer, again):
        assert not each.aligned
        for param in (param for group in each.param_groups for param in group["params"]):
            param.data = param.data.double()
            param.grad = torch.ones_like(param)
        each.step()
        for state in each.states():
            assert all(not spans.aligned for _, spans in state.updates())
    for one, other in zip(
        optimizer.param_groups[0]["params"], again.param_groups[0]["params"], strict=True
    ):
        assert same([one], [other])


class _Products(TorchDispatchMode):
    """Notes the shape of the result of each product that is added to a matrix."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes = shapes

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.addmm.default:
            self.shapes.append(tuple(result.shape))
        return result


@pytest.mark.parametrize("shape", [(512, 2050), (2050, 512)])
def test_muon_multiplies_a_large_matrix_at_once_only_if_unaligned(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    before, grad = torch.randn(2, *shape, generator=generator)
    seen: dict[bool, list[tuple[int, ...]]] = {False: [], True: []}
    moved = {}

    for aligned in (False, True):
        param = before.clone().requires_grad_()
        param.grad = grad
        spec = {"kind": "muon", "dialect": "keras", "ns_steps": 1, "lr": 0.1}
        optimizer: Any = make_optimizer([("a", param)], spec)
        optimizer.align(aligned)
        with _Products(seen[aligned]):
            optimizer.step()
        moved[aligned] = param.detach()

    assert seen[False] == [(512, 512), (512, 2050)]
    assert seen[True] == [(512, 512), *[(512, 513)] * 3, (512, 511)]
    torch.testing.assert_close(moved[True], moved[False])
    assert not torch.equal(moved[True], before)
