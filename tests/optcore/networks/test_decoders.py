"""Decoders, which attend to an earlier layer, and queries, held against torch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from optcore.networks.build import build
from optcore.networks.layers.transformer import DecoderLayer
from optcore.spec.layers.base import SEQUENCE, TensorSpec
from tests.support.optcore.layers.networks import dropped, network_of
from tests.support.optcore.runs.small import start, steps

Json = dict[str, Any]
BATCH = 3
OWN: Json = {"kind": "transformer_decoder_layer", "name": "own", "nhead": 2, "dropout": 0.0}
MEMORY: Json = {"kind": "identity", "name": "memory"}


def queries(number: int, features: int) -> Json:
    return {"kind": "queries", "num_queries": number, "features": features}


def decoder(memory: str = "memory", **fields: Any) -> Json:
    return {**OWN, "dim_feedforward": 5, "memory": memory, **fields}


def sequence(length: int, features: int) -> TensorSpec:
    return TensorSpec((length, features), SEQUENCE)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Json, int | None, TensorSpec]:
    """Return a decoder with random arguments, how many queries there are, and its memory."""
    heads = draw(st.integers(1, 3))
    width = heads * draw(st.integers(1, 4))
    flags: Json = {name: draw(st.booleans()) for name in ("norm_first", "bias", "causal")}
    layer = decoder(
        nhead=heads,
        dim_feedforward=draw(st.integers(1, 6)),
        activation=draw(st.sampled_from(["relu", "gelu"])),
        layer_norm_eps=draw(st.sampled_from([1e-5, 1e-2])),
        **flags,
    )
    number = draw(st.none() | st.integers(1, 6))
    return layer, number, sequence(draw(st.integers(1, 7)), width)


def theirs(layer: Json, width: int, dropout: float = 0.0) -> nn.TransformerDecoderLayer:
    names = ("nhead", "dim_feedforward", "activation", "layer_norm_eps", "norm_first", "bias")
    options = {name: layer[name] for name in names if name in layer}
    return nn.TransformerDecoderLayer(width, dropout=dropout, batch_first=True, **options)


def attended(net: nn.Module, layer: Json, targets: Tensor, memory: Tensor) -> Tensor:
    length = targets.shape[1]
    mask = None
    if layer["causal"]:
        mask = torch.ones(length, length, dtype=torch.bool, device=targets.device).triu(1)
    output: Tensor = net(targets, memory, tgt_mask=mask, tgt_is_causal=layer["causal"])
    return output


def layers_of(layer: Json, number: int | None, width: int) -> list[Json]:
    return [MEMORY, *([] if number is None else [queries(number, width)]), layer]


@given(cases())
@settings(max_examples=60, deadline=None)
def test_shapes_parameters_and_operations_are_torchs(
    case: tuple[Json, int | None, TensorSpec],
) -> None:
    layer, number, given = case
    spec = network_of(layers_of(layer, number, given.shape[1]), given)
    with torch.device("meta"):
        module, other = build(spec), theirs(layer, given.shape[1])
        inputs = torch.zeros(BATCH, *given.shape)
        targets = inputs if number is None else torch.zeros(BATCH, number, given.shape[1])
        with FlopCounterMode(display=False) as counter:
            output = module(inputs)
        with FlopCounterMode(display=False) as other_counter:
            attended(other, layer, targets, inputs)

    own = [(each.name, each.shape) for each in spec.parameters]
    assert own == [(name, tuple(p.shape)) for name, p in module.named_parameters()]
    assert [each for each in own if each[0].startswith("own")] == [
        (f"own.{name}", tuple(p.shape)) for name, p in other.named_parameters()
    ]
    assert spec.output == sequence(*output.shape[1:])
    flops = counter.get_total_flops()
    assert BATCH * sum(row.flops for row in spec.summary) == flops
    assert flops == other_counter.get_total_flops()


@given(cases())
@settings(max_examples=60, deadline=None)
def test_outputs_and_gradients_are_torchs(case: tuple[Json, int | None, TensorSpec]) -> None:
    """In float64, with the gradients of the memory, of the queries and of all weights."""
    layer, number, given = case
    width = given.shape[1]
    ours = build(network_of(layers_of(layer, number, width), given)).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    module = theirs(layer, width).double()
    module.load_state_dict(ours.get_submodule("own").state_dict())
    memory = torch.randn(BATCH, *given.shape, dtype=torch.float64, requires_grad=True)
    same = memory.detach().clone().requires_grad_()
    rows = None
    if number is not None:
        rows = ours.get_parameter("1.weight").detach().clone().requires_grad_()

    found = ours(memory)
    wanted = attended(module, layer, same if rows is None else rows.expand(BATCH, -1, -1), same)
    weights = torch.randn_like(wanted)
    for output in (found, wanted):
        (output * weights).sum().backward()

    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(memory.grad, same.grad, rtol=1e-9, atol=1e-9)
    if rows is not None:
        grad = ours.get_parameter("1.weight").grad
        torch.testing.assert_close(grad, rows.grad, rtol=1e-9, atol=1e-9)
    for name, each in module.named_parameters():
        grad = ours.get_parameter(f"own.{name}").grad
        torch.testing.assert_close(grad, each.grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_decoder_begins_with_torchs_weights(norm_first: bool) -> None:
    layer = decoder(norm_first=norm_first)
    torch.manual_seed(5)
    ours = build(network_of([MEMORY, layer], sequence(4, 6))).get_submodule("own").state_dict()
    torch.manual_seed(5)
    others = theirs(layer, 6).state_dict()

    assert list(ours) == list(others)
    assert all(torch.equal(ours[name], each) for name, each in others.items())


def test_queries_are_trained_vectors_in_place_of_the_input() -> None:
    torch.manual_seed(0)
    module = build(network_of([queries(200, 50)], sequence(4, 6)))
    weight = module.get_parameter("0.weight")

    output = module(torch.randn(BATCH, 4, 6))

    assert torch.equal(output, torch.stack([weight] * BATCH))
    assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert weight.mean().item() == pytest.approx(0, abs=0.001)


def test_dropout_depends_on_the_step_alone() -> None:
    net = network_of([MEMORY, decoder(dropout=0.5)], sequence(4, 6))

    outputs = dropped(net, torch.randn(BATCH, 4, 6))

    assert net.draws
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def by_hand(net: nn.Module, path: str, targets: Tensor, memory: Tensor) -> Tensor:
    """Return what torch's decoder returns with the weights of that at *path*."""
    layer = decoder(causal=False)
    module = theirs(layer, targets.shape[-1])
    module.load_state_dict(net.get_submodule(path).state_dict())
    return attended(module, layer, targets, memory)


def repeated(*layers: Json, times: int = 2) -> Json:
    return {"kind": "repeat", "name": "all", "times": times, "layers": list(layers)}


def test_copies_attend_to_one_memory_outside() -> None:
    given = sequence(4, 6)
    spec = network_of([MEMORY, queries(2, 6), repeated(decoder(), times=3)], given)
    net = build(spec)
    memory = torch.randn(BATCH, 4, 6)

    targets = net.get_parameter("1.weight").expand(BATCH, -1, -1)
    for i in range(3):
        targets = by_hand(net, f"all.{i}.own", targets, memory)

    torch.testing.assert_close(net(memory), targets)
    (row,) = (row for row in spec.summary if row.name == "all.0.own")
    assert row.copies == 3


def test_copies_attend_to_the_layer_of_the_same_copy() -> None:
    linear = {"kind": "linear", "name": "inner", "out_features": 6}
    net = build(network_of([repeated(linear, decoder("all.0.inner"))], sequence(4, 6)))
    x = given = torch.randn(BATCH, 4, 6)

    for i in range(2):
        x = net.get_submodule(f"all.{i}.inner")(x)
        x = by_hand(net, f"all.{i}.own", x, x)

    torch.testing.assert_close(net(given), x)


def test_a_decoder_in_blocks_attends_to_what_is_before_them() -> None:
    """And a block itself is a memory: what it returns."""
    first = {"kind": "sequential", "name": "encoder", "layers": [{"kind": "tanh"}]}
    block = {"kind": "residual", "name": "r", "layers": [queries(4, 6), decoder("encoder")]}
    net = build(network_of([first, block], sequence(4, 6)))
    x = torch.randn(BATCH, 4, 6)

    targets = net.get_parameter("r.layers.0.weight").expand(BATCH, -1, -1)
    wanted = x.tanh() + by_hand(net, "r.layers.own", targets, x.tanh())

    torch.testing.assert_close(net(x), wanted)


def test_several_decoders_attend_to_one_memory_and_to_several() -> None:
    layers = [
        MEMORY,
        {"kind": "linear", "name": "other", "out_features": 6},
        decoder(name="a"),
        decoder("other", name="b"),
        decoder(name="c"),
    ]
    net = build(network_of(layers, sequence(4, 6)))
    x = torch.randn(BATCH, 4, 6)
    other = net.get_submodule("other")(x)

    wanted = by_hand(net, "c", by_hand(net, "b", by_hand(net, "a", other, x), other), x)

    torch.testing.assert_close(net(x), wanted)


def test_a_relu_does_not_overwrite_a_memory() -> None:
    linear = {"kind": "linear", "name": "memory", "out_features": 6}
    net = build(network_of([linear, {"kind": "relu"}, decoder()], sequence(4, 6)))
    x = torch.randn(BATCH, 4, 6)
    memory = net.get_submodule("memory")(x)

    torch.testing.assert_close(net(x), by_hand(net, "own", memory.clone().relu(), memory))


def test_a_network_holds_no_memory_after_a_pass_and_its_copy_has_its_own() -> None:
    net = build(network_of([MEMORY, queries(2, 6), repeated(decoder())], sequence(4, 6)))
    twin = copy.deepcopy(net)
    memory = torch.randn(BATCH, 4, 6)

    assert torch.equal(net(memory), twin(memory))

    for each in (net, twin):
        layers = [module for module in each.modules() if isinstance(module, DecoderLayer)]
        assert len({id(layer.memory) for layer in layers}) == 1
        assert all(vars(layer.memory)["_value"] is None for layer in layers)
    assert not any("memory" in name for name in net.state_dict())


def test_a_network_of_queries_and_decoders_is_trained() -> None:
    """The example of docs/networks.md, whose steps `test_page` trains one of."""
    block = {"nhead": 4, "dim_feedforward": 64, "dropout": 0.0}
    layers = [
        {"kind": "patch_embedding", "patch_size": 2, "features": 32},
        {"kind": "position_embedding"},
        {**repeated({"kind": "transformer_encoder_layer", **block}), "name": "encoder"},
        queries(4, 32),
        {
            **repeated({"kind": "transformer_decoder_layer", "memory": "encoder", **block}),
            "name": "decoder",
        },
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 10},
    ]
    model = {"kind": "sequential", "layers": layers}
    adam = {"kind": "adam", "lr": 0.003}
    run = start(model=model, optimizer=adam, schedule={"kind": "constant"}, steps=120)

    losses = [report.loss for report in steps(run)]

    assert sum(losses[-5:]) / 5 < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in run.model.parameters())
