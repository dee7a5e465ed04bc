"""Slots in 8 bits: what is stored, how a run resumes, which parameters have them, and errors."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.make import make_optimizer, module_types
from optcore.spec.errors import SpecError
from tests.support.optcore.updates.bitsandbytes import Run, cases, optimizer_of

ADAMW: dict[str, Any] = {"kind": "adamw", "dialect": "bitsandbytes", "lr": 0.01, "state_bits": 8}
LION: dict[str, Any] = {**ADAMW, "kind": "lion"}
BY_ID = {case["id"]: case for case in cases()}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(80, 64), nn.Linear(64, 80))


def weight_of(model: nn.Module) -> Tensor:
    return dict(model.named_parameters())["1.weight"].detach().clone()


def made(model: nn.Module, spec: dict[str, Any], **given: Any) -> FlatOptimizer:
    return make_optimizer(model.named_parameters(), spec, modules=module_types(model), **given)


def train(model: nn.Module, optimizer: FlatOptimizer, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for param in model.parameters():
            param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)
        optimizer.step()


def slots(optimizer: FlatOptimizer) -> dict[str, dict[str, torch.dtype]]:
    """Return parameter -> slot -> dtype."""
    found: dict[str, dict[str, torch.dtype]] = {}
    for slot, by in optimizer.named_slots().items():
        for name, tensor in by.items():
            found.setdefault(name, {})[slot] = tensor.dtype
    return found


CODES = {
    "exp_avg": torch.uint8,
    "exp_avg_absmax": torch.float32,
    "exp_avg_sq": torch.uint8,
    "exp_avg_sq_absmax": torch.float32,
}
WIDE = {"exp_avg": torch.float32, "exp_avg_sq": torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_parameters_of_4096_elements_have_codes_and_others_float32(dtype: torch.dtype) -> None:
    params = {name: torch.zeros(n, dtype=dtype) for name, n in (("a", 4095), ("b", 4096))}
    named = [(name, param.requires_grad_()) for name, param in params.items()]

    assert slots(make_optimizer(named, ADAMW)) == {"a": WIDE, "b": CODES}
    assert slots(make_optimizer(named, ADAMW | {"state_bits": 32})) == {"a": WIDE, "b": WIDE}


def test_the_state_takes_about_a_quarter() -> None:
    named = [("w", torch.zeros(1000, 256, requires_grad=True))]

    def size(spec: dict[str, Any]) -> int:
        found = make_optimizer(named, spec).named_slots().values()
        return sum(tensor.nbytes for by in found for tensor in by.values())

    per_block = 4 / 256
    assert size(ADAMW) == 2 * 256_000 * (1 + per_block)
    assert size(ADAMW | {"state_bits": 32}) == 2 * 256_000 * 4


@pytest.mark.parametrize("backend", ["cuda", "cpu"])
@pytest.mark.parametrize("name", ["adamw8-decay", "adamw8-groups", "adamw8-bf16", "lion8-decay"])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_resumed_run_has_the_same_bits(name: str, backend: str, by_name: bool) -> None:
    whole, first = Run(BY_ID[name], backend), Run(BY_ID[name], backend)
    list(whole.steps(8))
    list(first.steps(5))
    again = Run(BY_ID[name], backend)
    list(again.steps(5))  # draws the same gradients
    with torch.no_grad():
        for key, param in again.params.items():
            param.copy_(first.params[key])
    again.optimizer = optimizer_of(BY_ID[name], backend, again.params)
    if by_name:
        kept = copy.deepcopy(first.optimizer.named_slots())
        again.optimizer.load_named(kept, first.optimizer.named_counts())
    else:
        again.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))

    list(again.steps(3))

    for key, param in again.params.items():
        assert torch.equal(param, whole.params[key]), key
    for slot, by in whole.optimizer.named_slots().items():
        for key, tensor in by.items():
            assert torch.equal(tensor, again.optimizer.named_slots()[slot][key]), (slot, key)


def test_embeddings_keep_float32_slots_if_asked() -> None:
    model = network()

    optimizer = made(model, ADAMW | {"embeddings_32bit": True})

    assert slots(optimizer) == {"0.weight": WIDE, "1.weight": CODES, "1.bias": WIDE}
    assert slots(made(model, ADAMW))["0.weight"] == CODES


def test_a_group_may_have_other_bits() -> None:
    group = {"match": "1.*", "state_bits": 32}

    found = slots(made(network(), ADAMW | {"embeddings_32bit": True, "groups": [group]}))
    narrow = slots(
        made(network(), ADAMW | {"state_bits": 32, "groups": [group | {"state_bits": 8}]})
    )

    assert found == {"0.weight": WIDE, "1.weight": WIDE, "1.bias": WIDE}
    assert narrow == {"0.weight": WIDE, "1.weight": CODES, "1.bias": WIDE}


@pytest.mark.parametrize("spec", [ADAMW, LION], ids=["adamw", "lion"])
@pytest.mark.parametrize(
    "more",
    [
        {"clip": {"kind": "global_norm", "max": 0.1}},
        {"clip": {"kind": "norm", "max": 0.1}},
        {"clip": {"kind": "adaptive", "max": 0.01}},
        {"grad_centralization": True},
        {"maximize": True, "l1": 0.1, "l2": 0.1},
        {"clip_update": {"kind": "rms", "max": 1e-4}},
        {"weight_decay": 0.1, "corrected_weight_decay": True},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_every_optimizer_has_changes_the_run(
    spec: dict[str, Any], more: dict[str, Any]
) -> None:
    plain, changed = network(), network()
    decay = {"weight_decay": more.get("weight_decay", 0.0)}
    falling: dict[str, Any] = {"schedule": {"kind": "linear"}, "total_steps": 10}

    train(plain, made(plain, spec | decay, **falling), 3)
    train(changed, made(changed, spec | decay | more, **falling), 3)

    assert not torch.equal(weight_of(plain), weight_of(changed))


def test_a_moving_average_of_the_parameters_stays_float32() -> None:
    model = network()
    optimizer = made(model, ADAMW | {"weight_decay": 10.0}, ema={"kind": "keras", "decay": 0.5})
    seen = []
    for i in range(3):
        train(model, optimizer, 1, seed=i)
        seen.append(weight_of(model))

    with optimizer.averaged():
        average = weight_of(model)

    torch.testing.assert_close(average, (seen[0] * 0.5 + seen[1] * 0.5) * 0.5 + seen[2] * 0.5)
    assert slots(optimizer)["1.weight"] == CODES | {"average": torch.float32}


def test_blocks_follow_the_order_of_indices_in_any_layout() -> None:
    torch.manual_seed(0)
    values, grad = torch.randn(16, 32, 3, 3), torch.randn(16, 32, 3, 3)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        param = values.clone(memory_format=layout).requires_grad_()
        optimizer = make_optimizer([("w", param)], ADAMW)
        for _ in range(3):
            param.grad = grad.clone(memory_format=layout)
            optimizer.step()
        results.append((param.detach(), optimizer.named_slots()["exp_avg"]["w"]))

    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_large_parameters_are_updated_in_slices_with_the_same_bits() -> None:
    torch.manual_seed(0)
    values, grad = torch.randn(600_000), torch.randn(600_000)
    whole, parts = values.clone().requires_grad_(), values.clone()
    pieces = [p.clone().requires_grad_() for p in parts.split(256 * 700)]
    one = make_optimizer([("w", whole)], ADAMW)
    several = make_optimizer([(str(i), p) for i, p in enumerate(pieces)], ADAMW)

    for _ in range(2):
        whole.grad = grad.clone()
        for piece, part in zip(pieces, grad.split(256 * 700), strict=True):
            piece.grad = part.clone()
        one.step()
        several.step()

    assert torch.equal(whole.detach(), torch.cat([p.detach() for p in pieces]))


def test_master_weights_keep_what_bfloat16_rounds_away() -> None:
    torch.manual_seed(0)
    param = torch.randn(64, 64).bfloat16().requires_grad_()
    optimizer = make_optimizer([("w", param)], ADAMW | {"multi_precision": True, "lr": 1e-5})

    for _ in range(200):
        param.grad = torch.ones_like(param)
        before = param.detach().clone()
        optimizer.step()

    master = optimizer.named_slots()["master_weight"]["w"]
    assert torch.equal(master.bfloat16(), param.detach())
    assert not torch.equal(before, torch.randn(64, 64).bfloat16())
    assert slots(optimizer)["w"] == CODES | {"master_weight": torch.float32}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"kind": "adamw", "state_bits": 8},
            "state_bits does not exist for adamw in dialect torch, only in bitsandbytes",
        ),
        (
            {"kind": "lion", "dialect": "keras", "backend": "cpu"},
            "backend does not exist for lion in dialect keras, only in bitsandbytes",
        ),
        ({"kind": "sgd", "state_bits": 8}, "unknown field 'state_bits'"),
        ({**ADAMW, "state_bits": 4}, "state_bits must be one of 8, 32, got 4"),
        ({**ADAMW, "backend": "xpu"}, "backend must be one of cuda, cpu, got 'xpu'"),
        (
            {**ADAMW, "cautious": True},
            "cautious must be false in dialect bitsandbytes, which lacks cautious steps, got true",
        ),
        (
            {**ADAMW, "state_bits": 32, "embeddings_32bit": True},
            "embeddings_32bit must be false if state_bits is 32, since embeddings then have 32 "
            "bits like all parameters, got true",
        ),
        (
            {**ADAMW, "engine": "fused"},
            "engine must be auto or eager, got fused: torch has no fused kernel for adamw in "
            "dialect bitsandbytes with these fields",
        ),
        ({**ADAMW, "amsgrad": True}, "amsgrad does not exist for adamw in dialect bitsandbytes"),
        (
            {"kind": "adam", "dialect": "bitsandbytes"},
            "got 'bitsandbytes'; its Adam decays as AdamW does: use adamw with a weight_decay of 0",
        ),
        (
            {**ADAMW, "groups": [{"match": "w", "state_bits": 16}]},
            "state_bits must be one of 8, 32, got 16",
        ),
    ],
)
def test_what_does_not_fit_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        make_optimizer([("w", torch.zeros(4, requires_grad=True))], spec)


def test_embeddings_are_not_known_without_the_types_of_modules() -> None:
    with pytest.raises(SpecError, match="embeddings_32bit needs the types of the modules"):
        make_optimizer(network().named_parameters(), ADAMW | {"embeddings_32bit": True})


def test_a_state_with_other_bits_is_refused() -> None:
    model = network()
    optimizer, wide = made(model, ADAMW), made(model, ADAMW | {"state_bits": 32})
    train(model, wide, 1)
    state = copy.deepcopy(wide.state_dict())

    with pytest.raises(ValueError, match=r"state of 0\.weight must have the slots of adamw"):
        optimizer.load_state_dict(state)
    with pytest.raises(
        ValueError, match="slots must match the slots of the optimizer: missing exp_avg_absmax"
    ):
        optimizer.load_named(wide.named_slots(), wide.named_counts())


def test_a_row_sparse_gradient_is_refused() -> None:
    param = torch.zeros(100, 64, requires_grad=True)
    optimizer = make_optimizer([("w", param)], ADAMW)
    param.grad = torch.ones(100, 64).to_sparse(1)

    with pytest.raises(
        ValueError, match="the gradient of w is sparse, which adamw in dialect bitsand"
    ):
        optimizer.step()
