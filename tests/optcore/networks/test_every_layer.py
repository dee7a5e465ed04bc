"""Every kind of layer, with random arguments, beside a module that is written by hand."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from optcore.networks.build import build
from optcore.spec.layers.catalogue import LAYERS, AnyLayer
from optcore.spec.networks.network import Network
from tests.support.optcore.layers.catalogue import CASES, Case

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)
KINDS = sorted(set(LAYERS) & set(CASES))
BATCH = 3
EXAMPLES = 12
ELSEWHERE = {
    **dict.fromkeys(
        ("lstm", "multihead_attention", "patch_embedding", "class_token", "select"),
        "test_image_transformers.py",
    ),
    **dict.fromkeys(
        ("embedding", "position_embedding", "gru", "self_attention", "transformer_encoder_layer"),
        "test_sequence_layers.py",
    ),
    **dict.fromkeys(("transformer_decoder_layer", "queries"), "test_decoders.py"),
}
"""Layers of sequences -> the file that compares them, with random arguments, in the same way."""


def network(case: Case) -> Network:
    return Network((PARSER.validate_python(case.spec),), case.given)


def test_every_kind_of_layer_has_cases() -> None:
    """Write them in tests/support/optcore/layers, in the file of the layer's family."""
    assert set(LAYERS) == set(CASES) | ELSEWHERE.keys()
    for kind, file in ELSEWHERE.items():
        assert f'"{kind}"' in (Path(__file__).parent / file).read_text()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_shapes_parameters_and_operations_are_those_of_torch(
    kind: str, data: st.DataObject
) -> None:
    """On torch's meta device, where nothing is computed."""
    case = data.draw(CASES[kind])
    spec = network(case)
    with torch.device("meta"):
        ours, theirs = build(spec), nn.Sequential(case.module())
        given = torch.empty(BATCH, *case.given.shape)
        given = given.long() if case.given.integers else given
        with FlopCounterMode(display=False) as counter:
            wanted = theirs(given)
        with FlopCounterMode(display=False) as our_counter:
            output = ours(given)

    assert spec.output.shape == tuple(output.shape[1:]) == tuple(wanted.shape[1:])
    assert spec.output.integers == (not output.is_floating_point())
    planned = [(each.name, each.shape) for each in spec.parameters]
    assert planned == [(name, tuple(p.shape)) for name, p in theirs.named_parameters()]
    assert planned == [(name, tuple(p.shape)) for name, p in ours.named_parameters()]
    saved = {name: tuple(tensor.shape) for name, tensor in ours.state_dict().items()}
    assert saved == {each.name: each.shape for each in spec.tensors}
    assert spec.num_parameters == sum(p.numel() for p in theirs.parameters())
    operations = sum(row.copies * row.flops for row in spec.summary)
    assert BATCH * operations == counter.get_total_flops() == our_counter.get_total_flops()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_forward_and_backward_are_those_of_a_module_by_hand(kind: str, data: st.DataObject) -> None:
    """In float64, in training and then in evaluation, with what training leaves in buffers."""
    case = data.draw(CASES[kind])
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    ours = build(network(case)).double()
    for parameter in ours.parameters():  # not the ones and zeros that normalization begins with
        nn.init.normal_(parameter.data)
    theirs = nn.Sequential(case.module()).double()
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    given = inputs(case)
    kept = given.clone()

    for training in (True, False):
        results = [computed(net.train(training), given) for net in (ours, theirs)]

        assert torch.equal(given, kept)
        assert list(results[0]) == list(results[1])
        for name, found in results[0].items():
            text = f"{name} in {'training' if training else 'evaluation'}: {{}}"
            torch.testing.assert_close(
                found, results[1][name], rtol=1e-10, atol=1e-12, msg=text.format
            )


def inputs(case: Case) -> Tensor:
    if case.given.integers:
        return torch.randint(case.vocabulary, (BATCH, *case.given.shape))
    return torch.randn(BATCH, *case.given.shape, dtype=torch.float64)


def computed(net: nn.Module, given: Tensor) -> dict[str, Tensor]:
    """Return the output of *net*, all gradients, and the buffers afterwards."""
    torch.manual_seed(1)  # for dropout
    net.zero_grad()
    given = given.clone().requires_grad_(given.is_floating_point())
    output = net(given)
    weights = torch.linspace(-1, 1.5, output.numel(), dtype=output.dtype).view_as(output)
    if output.requires_grad:
        (output * weights).sum().backward()
    gradients = {f"gradient of {name}": p.grad for name, p in net.named_parameters()}
    found = {"output": output, "gradient of the input": given.grad, **gradients}
    return {
        **{name: tensor for name, tensor in found.items() if tensor is not None},
        **{name: buffer.clone() for name, buffer in net.named_buffers()},
    }
