"""What can come between a model and its flat buffers: each a way in which others went wrong."""

import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import optcore
from optcore.optimizers.engine.engines import Eager
from optcore.optimizers.engine.flat import FlatState
from optcore.optimizers.engine.optimizer import FlatOptimizer
from tests.optcore.optimizers.test_optimizers import TORCH, same_bits, weights

Model = nn.Sequential


def model(dtype: torch.dtype = torch.float32) -> Model:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).to(dtype)


def images_model(dtype: torch.dtype = torch.float64) -> Model:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).to(dtype)


def ours(net: nn.Module, kind: str = "adam", **more: Any) -> FlatOptimizer:
    return optcore.make_optimizer(net.named_parameters(), {"kind": kind, "lr": 0.1, **more})


def backward(net: nn.Module, shape: tuple[int, ...] = (2, 4), **more: Any) -> None:
    inputs = torch.ones(shape, dtype=next(net.parameters()).dtype)
    net(inputs).square().mean().backward(**more)


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    backward(net)
    optimizer.step()


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


def close(pair: tuple[nn.Module, nn.Module]) -> None:
    for a, b in zip(weights(pair[0]), weights(pair[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def give_new_memory(net: Model) -> None:
    for param in net.parameters():
        param.data = param.detach() * 0.5


def buffers(optimizer: FlatOptimizer) -> list[Tensor]:
    return [state.params for state in optimizer.states() if isinstance(state, FlatState)]


def is_flat(net: nn.Module, optimizer: FlatOptimizer) -> bool:
    expected = {buffer.untyped_storage().data_ptr() for buffer in buffers(optimizer)}
    return {param.untyped_storage().data_ptr() for param in net.parameters()} == expected


# ------------------------------------------------------------------ parameters that left


def test_parameters_given_new_memory_are_taken_back_with_their_values() -> None:
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


def test_a_model_made_double_takes_its_slots_and_counts_along() -> None:
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
def test_a_model_made_double_and_back_goes_on(kind: str) -> None:
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


def test_a_part_of_a_model_made_double_lies_in_a_buffer_of_its_own() -> None:
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


def test_parameters_that_were_replaced_are_said_to_be_missed() -> None:
    """load_state_dict(assign=True) makes new objects, which no optimizer can know of."""
    net = model()
    optimizer = ours(net)
    net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True)
    backward(net)

    with pytest.warns(RuntimeWarning, match="no parameter has a gradient, so nothing was updated"):
        optimizer.step()


# ------------------------------------------------------------------ gradients


def test_a_gradient_made_with_a_graph_is_used() -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch on reference cycles
            backward(net, create_graph=True)
        optimizer.step()

    close(pair)


def test_gradients_accumulate_until_they_are_forgotten() -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            backward(net)
            backward(net)
            optimizer.step()

    close(pair)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_both_ways_to_forget_gradients_work(set_to_none: bool) -> None:
    pair = model(), model()
    for net, optimizer in zip(pair, ours_and_torchs(pair), strict=True):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=set_to_none)
            backward(net)
            optimizer.step()

    close(pair)


def test_a_gradient_put_there_by_hand_in_another_layout_is_used() -> None:
    weight = nn.Parameter(torch.zeros(300, 300))  # large: read in place where it can be
    gradient = torch.arange(90_000.0).reshape(300, 300).T
    optimizer = optcore.make_optimizer([("w", weight)], {"kind": "sgd", "lr": 1.0})
    weight.grad = gradient

    optimizer.step()

    assert torch.equal(weight, -gradient)


# ------------------------------------------------------------------ sparse gradients


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adagrad"])
def test_row_sparse_gradients_give_what_torch_gives(kind: str) -> None:
    pair = nn.Embedding(6, 3, sparse=True), nn.Embedding(6, 3, sparse=True)
    pair[1].load_state_dict(pair[0].state_dict())
    optimizers = ours(pair[0], kind), TORCH[kind](pair[1].parameters(), lr=0.1)
    with torch.sparse.check_sparse_tensor_invariants():
        for net, optimizer in zip(pair, optimizers, strict=True):
            for ids in ([1, 1, 2], [0, 2], [5]):
                optimizer.zero_grad()
                net(torch.tensor(ids)).square().sum().backward()
                optimizer.step()

    close(pair)


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "adamw", "muon", "adafactor"])
def test_sparse_gradients_are_refused_where_they_would_mean_something_else(kind: str) -> None:
    net = nn.Embedding(6, 3, sparse=True)
    optimizer = ours(net, kind)
    net(torch.tensor([1])).sum().backward()

    with pytest.raises(
        ValueError, match=f"the gradient of weight is sparse, which {kind} in dialect torch cannot"
    ):
        optimizer.step()


# ------------------------------------------------------------------ layouts


def channels_last(net: Model) -> Model:
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def is_channels_last(net: Model) -> bool:
    weight = next(net.parameters())
    return weight.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_parameters_keep_their_layout_and_their_numbers() -> None:
    plain, last = images_model(), channels_last(images_model())
    for net in (plain, last):
        optimizer = ours(net)
        for _ in range(3):
            optimizer.zero_grad()
            backward(net, (2, 3, 5, 5))
            optimizer.step()

    assert is_channels_last(last)
    for a, b in zip(weights(plain), weights(last), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_model_made_channels_last_in_the_middle_keeps_its_slots() -> None:
    pair = images_model(), images_model()
    optimizers = ours(pair[0]), ours(pair[1])
    for i in range(4):
        for net, optimizer in zip(pair, optimizers, strict=True):
            optimizer.zero_grad()
            backward(net, (2, 3, 5, 5))
            optimizer.step()
        if i == 1:
            channels_last(pair[1])

    assert is_channels_last(pair[1])
    for a, b in zip(weights(pair[0]), weights(pair[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_slots_leave_and_come_back_in_logical_order() -> None:
    last, plain = channels_last(images_model()), images_model()
    first, second = ours(last), ours(plain)
    first.zero_grad()
    backward(last, (2, 3, 5, 5))
    first.step()

    second.load_named(first.named_slots(), first.named_counts())

    assert all(slot.is_contiguous() for by in second.named_slots().values() for slot in by.values())
    for slot, by_name in first.named_slots().items():
        for name, tensor in by_name.items():
            assert torch.equal(second.named_slots()[slot][name], tensor)


# ------------------------------------------------------------------ GradScaler


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


def test_a_step_skipped_by_the_scaler_changes_and_counts_nothing() -> None:
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


# ------------------------------------------------------------------ saving


def test_a_saved_optimizer_holds_its_slots_and_not_whole_buffers() -> None:
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
def test_a_copy_of_model_and_optimizer_goes_its_own_way(kind: str) -> None:
    net = model()
    optimizer = ours(net, kind)
    step(net, optimizer)

    copied_net, copied = copy.deepcopy((net, optimizer))
    before = weights(net)
    step(copied_net, copied)

    assert same_bits(weights(net), before)
    step(net, optimizer)
    assert same_bits(weights(net), weights(copied_net))


# ------------------------------------------------------------------ memory


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
    """Sees every tensor that an operation gives back in new memory."""

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
