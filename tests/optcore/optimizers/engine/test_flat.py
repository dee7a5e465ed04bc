"""Flat buffers stay in step with a model whose parameters, gradients or dtype are changed."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from optcore.optimizers.engine.memory.flat import FlatState
from optcore.optimizers.engine.optimizer import FlatOptimizer
from tests.support.optcore.updates.flat_models import Model, backward, close, model, ours, step
from tests.support.optcore.updates.optimizer_specs import TORCH
from tests.support.optcore.updates.optimizer_steps import same_bits, weights


def twin_steps(change: Callable[[Model], object], *, kind: str = "adam") -> tuple[Model, Model]:
    """Train our optimizer and torch's, with *change* done to both models in the middle."""
    pair = model(), model()
    optimizers = ours(pair[0], kind), TORCH[kind](pair[1].parameters(), lr=0.1)
    for net, optimizer in zip(pair, optimizers, strict=True):
        step(net, optimizer)
        change(net)
        step(net, optimizer)
        step(net, optimizer)
    return pair


def ours_and_torchs(pair: tuple[Model, Model]) -> tuple[torch.optim.Optimizer, ...]:
    return ours(pair[0]), torch.optim.Adam(pair[1].parameters(), lr=0.1)


def give_new_memory(net: Model) -> None:
    for param in net.parameters():
        param.data = param.detach() * 0.5


def buffers(optimizer: FlatOptimizer) -> list[Tensor]:
    return [state.params for state in optimizer.states() if isinstance(state, FlatState)]


def is_flat(net: nn.Module, optimizer: FlatOptimizer) -> bool:
    expected = {buffer.untyped_storage().data_ptr() for buffer in buffers(optimizer)}
    return {param.untyped_storage().data_ptr() for param in net.parameters()} == expected


def test_parameters_given_new_memory_return_to_the_buffer_with_their_values() -> None:
    pair = twin_steps(give_new_memory)

    close(pair)


def test_parameters_are_views_again_after_the_step_that_found_them_moved() -> None:
    net = model()
    optimizer = ours(net)
    step(net, optimizer)
    give_new_memory(net)
    assert not is_flat(net, optimizer)

    step(net, optimizer)

    assert is_flat(net, optimizer)


def test_a_model_made_double_keeps_its_slots_and_counts() -> None:
    """Torch's own optimizers fail here: their slots stay behind in float32."""
    net = model()
    optimizer = ours(net)
    step(net, optimizer)
    begun_double = model(torch.float64)
    begun_double.load_state_dict(net.state_dict())
    expected = ours(begun_double)
    slots = {
        slot: {name: tensor.double() for name, tensor in by.items()}
        for slot, by in optimizer.named_slots().items()
    }
    expected.load_named(slots, optimizer.named_counts())

    net.double()
    step(net, optimizer)
    step(begun_double, expected)

    assert same_bits(weights(net), weights(begun_double))


@pytest.mark.parametrize("kind", TORCH)
def test_a_model_made_double_and_back_continues(kind: str) -> None:
    net = model()
    optimizer = ours(net, kind)
    step(net, optimizer)
    net.double()
    step(net, optimizer)
    net.float()
    step(net, optimizer)

    assert set(optimizer.named_counts().values()) == {3}
    assert {param.dtype for param in net.parameters()} == {torch.float32}
    assert {buffer.dtype for buffer in buffers(optimizer)} == {torch.float32}


def test_a_part_of_a_model_made_double_gets_a_buffer_of_its_own() -> None:
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    optimizer = ours(net)
    net[1].double()
    for layer in net:
        dtype = next(layer.parameters()).dtype
        layer(torch.ones(1, 2, dtype=dtype)).sum().backward()

    optimizer.step()

    assert [buffer.dtype for buffer in buffers(optimizer)] == [torch.float32, torch.float64]
    assert is_flat(net, optimizer)


@pytest.mark.parametrize("assign", [False, True])
def test_a_loaded_state_dict_is_trained_on(assign: bool) -> None:
    """Also when it replaces the parameters, as long as they stay the optimizer's objects."""
    other = {name: tensor * 2 for name, tensor in model().state_dict().items()}
    swap = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        close(twin_steps(lambda net: net.load_state_dict(copy.deepcopy(other), assign=assign)))
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swap)


def test_a_step_warns_when_the_parameters_were_replaced() -> None:
    """load_state_dict(assign=True) makes new objects, which no optimizer can know of."""
    net = model()
    optimizer = ours(net)
    net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True)
    backward(net)

    with pytest.warns(RuntimeWarning, match="no parameter has a gradient, so nothing was updated"):
        optimizer.step()


def test_a_gradient_made_with_a_graph_is_used() -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch on reference cycles
            backward(net, create_graph=True)
        optimizer.step()

    close(pair)


def test_gradients_accumulate_until_zero_grad() -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            backward(net)
            backward(net)
            optimizer.step()

    close(pair)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_works_with_and_without_set_to_none(set_to_none: bool) -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=set_to_none)
            backward(net)
            optimizer.step()

    close(pair)


def test_a_gradient_scaler_with_clipping_gives_what_torch_gives() -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for _ in range(3):
            optimizer.zero_grad()
            loss = net(torch.ones(2, 4)).square().mean()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(net.parameters(), 0.01)
            scaler.step(optimizer)
            scaler.update()

    close(pair)


def test_a_step_skipped_by_the_scaler_changes_no_weight_and_no_count() -> None:
    net = model()
    optimizer = ours(net)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = weights(net)
    scaler.scale(net(torch.ones(2, 4)).square().mean()).backward()
    next(net.parameters()).grad.fill_(float("inf"))  # type: ignore[union-attr]

    scaler.step(optimizer)
    scaler.update()

    assert same_bits(weights(net), before)
    assert set(optimizer.named_counts().values()) == {0}
    assert scaler.get_scale() == 512.0


def test_a_saved_state_holds_slots_and_not_whole_buffers() -> None:
    net = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 1))
    optimizer = ours(net)
    optimizer.zero_grad()
    backward(net, (2, 100))
    optimizer.step()
    state = optimizer.state_dict()["state"]

    small = io.BytesIO()
    torch.save(state[3]["exp_avg"], small)  # the bias of one number

    assert len(small.getvalue()) < 4_000
    assert all(
        tensor.untyped_storage().nbytes() == tensor.nbytes
        for slots in state.values()
        for tensor in slots.values()
    )


def test_released_parameters_have_memory_of_their_own_until_the_next_step() -> None:
    net = model()
    optimizer = ours(net)
    step(net, optimizer)
    before = weights(net)

    optimizer.release()

    assert same_bits(weights(net), before)
    assert all(p.untyped_storage().nbytes() == p.nbytes for p in net.parameters())
    step(net, optimizer)
    assert is_flat(net, optimizer)


@pytest.mark.parametrize("kind", TORCH)
def test_a_copy_of_model_and_optimizer_is_independent(kind: str) -> None:
    net = model()
    optimizer = ours(net, kind)
    step(net, optimizer)

    copied_net, copied = copy.deepcopy((net, optimizer))
    before = weights(net)
    step(copied_net, copied)

    assert same_bits(weights(net), before)
    step(net, optimizer)
    assert same_bits(weights(net), weights(copied_net))
