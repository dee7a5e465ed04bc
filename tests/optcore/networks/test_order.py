"""Which layers are computed before others, and which outputs are overwritten."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from optcore.networks.build import build
from tests.support.optcore.layers.networks import network_of

IMAGES: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1, "name": "conv"},
    {"kind": "relu", "name": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2, "name": "pool"},
    {"kind": "batch_norm", "name": "norm"},
    {"kind": "relu", "name": "relu2"},
    {"kind": "flatten", "name": "flatten"},
    {"kind": "linear", "out_features": 3, "name": "fc"},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooling_before_the_relu_gives_the_same_bits(dtype: torch.dtype) -> None:
    """Forwards and backwards, with equal pixels and windows in which nothing is above 0."""
    torch.manual_seed(0)
    fast = build(network_of(IMAGES, (1, 8, 8))).to(dtype)
    parts = dict(fast.named_children())
    plain = nn.Sequential(
        copy.deepcopy(parts["conv"]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        copy.deepcopy(parts["norm"]),
        nn.ReLU(),
        nn.Flatten(),
        copy.deepcopy(parts["fc"]),
    )
    images = torch.randint(-1, 2, (16, 1, 8, 8)).to(dtype)

    results = [net(images) for net in (fast, plain)]
    for result in results:
        result.square().sum().backward()

    assert list(parts)[:3] == ["conv", "pool", "relu"]
    assert torch.equal(*results)
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("first", [[], ["flatten"], ["relu"], ["dropout"], ["flatten", "relu"]])
def test_a_relu_overwrites_neither_the_examples_nor_what_backward_needs(first: list[str]) -> None:
    layers: list[dict[str, Any]] = [
        *({"kind": kind} for kind in first),
        {"kind": "relu"},
        {"kind": "relu"},
        *([] if "flatten" in first else [{"kind": "flatten"}]),
        {"kind": "linear", "out_features": 3},
        {"kind": "relu"},
        {"kind": "relu"},
    ]
    net = build(network_of(layers, (1, 4, 4)))
    images = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)
    before = images.clone()

    net(images).sum().backward()

    assert torch.equal(images, before)


RELU: dict[str, Any] = {"kind": "relu"}
CONV: dict[str, Any] = {"kind": "conv2d", "out_channels": 2, "kernel_size": 3, "padding": 1}
POOL: dict[str, Any] = {"kind": "max_pool2d", "kernel_size": 2}


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "residual", "layers": [RELU, CONV]},
        {"kind": "residual", "layers": [RELU]},
        {"kind": "residual", "layers": [CONV, RELU, RELU], "shortcut": [RELU]},
        {"kind": "residual", "layers": [{"kind": "sequential", "layers": [RELU, CONV]}]},
        {"kind": "parallel", "branches": [[RELU], [RELU], []], "join": "concat"},
        {"kind": "parallel", "branches": [[RELU, RELU], [CONV]], "join": "multiply"},
        {"kind": "repeat", "times": 2, "layers": [RELU, CONV]},
        {"kind": "sequential", "layers": [RELU]},
    ],
    ids=str,
)
def test_a_relu_that_begins_a_block_does_not_overwrite_what_the_block_takes(
    block: dict[str, Any],
) -> None:
    """The block's other parts read it too: the sum of a residual, other branches."""
    net = build(network_of([CONV, block], (2, 4, 4))).double()
    plain = copy.deepcopy(net)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    images = torch.randn(
        3, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    taken = net[0](images)
    before = taken.clone()

    output = net[1](taken)

    assert torch.equal(taken, before)
    assert torch.equal(output, plain[1](plain[0](images)))
    for model in (net, plain):
        model(images).square().sum().backward()
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    "layers",
    [
        [
            {
                "kind": "repeat",
                "times": 2,
                "layers": [CONV, RELU, {**POOL, "stride": 1, "padding": 1}, {**POOL, "stride": 1}],
            }
        ],
        [{"kind": "sequential", "layers": [CONV, RELU, POOL, POOL]}],
        [CONV, {"kind": "residual", "layers": [RELU, POOL], "shortcut": [POOL, RELU]}],
        [
            CONV,
            RELU,
            {"kind": "parallel", "branches": [[POOL], [RELU, POOL], [CONV, POOL, RELU]]},
        ],
    ],
    ids=str,
)
def test_pooling_before_the_relu_gives_the_same_bits_inside_blocks(
    layers: list[dict[str, Any]],
) -> None:
    torch.manual_seed(0)
    fast = build(network_of(layers, (2, 16, 16)))
    plain = copy.deepcopy(fast)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.Sequential):
            _as_written(module)
    images = torch.randint(-1, 2, (5, 2, 16, 16)).float()

    results = [net(images) for net in (fast, plain)]
    for result in results:
        result.square().sum().backward()

    assert [name for name, _ in plain.named_parameters()] == [n for n, _ in fast.named_parameters()]
    assert torch.equal(*results)
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


def _as_written(module: nn.Sequential) -> None:
    """Put the layers without a name, whose names are their numbers, back into their order."""
    children = sorted(module.named_children(), key=lambda child: int(child[0]))
    if all(name.isdigit() for name, _ in children):
        module._modules.clear()
        module._modules.update(children)
