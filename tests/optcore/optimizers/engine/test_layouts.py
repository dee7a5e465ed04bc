"""Parameters that are not contiguous, and gradients that are sparse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import optcore
from tests.support.optcore.updates.flat_models import Model, backward, close, images_model, ours
from tests.support.optcore.updates.optimizer_specs import TORCH
from tests.support.optcore.updates.optimizer_steps import weights


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


def test_a_model_made_channels_last_during_training_keeps_its_slots() -> None:
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


def test_named_slots_are_contiguous_whatever_the_layout() -> None:
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


def test_a_gradient_set_by_hand_in_another_layout_is_used() -> None:
    weight = nn.Parameter(torch.zeros(300, 300))  # large: read in place where it can be
    gradient = torch.arange(90_000.0).reshape(300, 300).T
    optimizer = optcore.make_optimizer([("w", weight)], {"kind": "sgd", "lr": 1.0})
    weight.grad = gradient

    optimizer.step()

    assert torch.equal(weight, -gradient)


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
def test_sparse_gradients_are_refused_where_they_differ_from_dense_ones(kind: str) -> None:
    net = nn.Embedding(6, 3, sparse=True)
    optimizer = ours(net, kind)
    net(torch.tensor([1])).sum().backward()

    with pytest.raises(
        ValueError, match=f"the gradient of weight is sparse, which {kind} in dialect torch cannot"
    ):
        optimizer.step()


def test_a_sparse_gradient_in_dialect_paddle_leaves_dense_ones_beside_it_as_they_are() -> None:
    """Paddle has a kernel of its own for sparse gradients, whose first step is smaller."""
    spec = {"kind": "adam", "dialect": "paddle", "lr": 0.1, "eps": 0.0}
    embedding, line = nn.Embedding(6, 3, sparse=True).double(), nn.Linear(3, 2).double()
    net = nn.Sequential(embedding, line)
    optimizer = optcore.make_optimizer(net.named_parameters(), spec)
    rows, bias = (param.detach().clone() for param in (embedding.weight, line.bias))

    net(torch.tensor([0, 1])).sum().backward()
    optimizer.step()

    # Of step 2 where the gradient is sparse: 0.1 * (1 - 0.9) / (1 - 0.9 ** 2), and the root.
    ahead = 0.1 * 0.1 / 0.19 / math.sqrt(0.001 / (1 - 0.999**2))
    assert (line.bias - bias).abs().tolist() == pytest.approx([0.1, 0.1])
    assert (embedding.weight - rows)[:2].abs().flatten().tolist() == pytest.approx([ahead] * 6)
    assert optimizer.named_counts() == {"0.weight": 1, "1.weight": 1, "1.bias": 1}
