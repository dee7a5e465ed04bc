"""lstm, multihead_attention and the layers of vision transformers, beside torch's own modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from optcore.networks.build import build
from optcore.spec.errors import SpecError
from optcore.spec.layers.base import Shape, ShapeError, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.models.sequential import Sequential
from optcore.spec.networks.network import Network

Fields = dict[str, Any]

LSTMS: list[tuple[Fields, Shape]] = [
    ({"kind": "lstm", "hidden_size": 3}, (5, 4)),
    ({"kind": "lstm", "hidden_size": 6, "num_layers": 3, "bias": False}, (1, 2)),
    ({"kind": "lstm", "hidden_size": 2, "num_layers": 2, "bidirectional": True}, (7, 3)),
]
ATTENTIONS: list[tuple[Fields, Shape]] = [
    ({"kind": "multihead_attention", "num_heads": 1}, (4, 6)),
    ({"kind": "multihead_attention", "num_heads": 3, "bias": False}, (5, 6)),
    ({"kind": "multihead_attention", "num_heads": 4}, (9, 8)),
]
OTHERS: list[tuple[Fields, Shape]] = [
    ({"kind": "patch_embedding", "patch_size": 4, "features": 6}, (3, 8, 12)),
    ({"kind": "patch_embedding", "patch_size": 1, "features": 2}, (1, 2, 2)),
    ({"kind": "class_token"}, (4, 6)),
    ({"kind": "position_embedding"}, (4, 6)),
    ({"kind": "select"}, (4, 6)),
    ({"kind": "select", "index": -2}, (4, 6)),
]


def network(fields: Fields, shape: Shape) -> Network:
    parser: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)
    return Network((parser.validate_python(fields),), TensorSpec.of(shape))


def made(fields: Fields, shape: Shape) -> nn.Module:
    torch.manual_seed(4)
    return build(network(fields, shape)).double()[0]


def batch(shape: Shape) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(3, *shape, generator=generator, dtype=torch.float64, requires_grad=True)


def gradients(output: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output.sin().sum(), of)


@pytest.mark.parametrize(("fields", "shape"), [*LSTMS, *ATTENTIONS, *OTHERS], ids=str)
def test_a_layer_knows_what_torch_makes_of_it(fields: Fields, shape: Shape) -> None:
    spec = network(fields, shape)
    with torch.device("meta"):
        module = build(spec)
        counter = FlopCounterMode(display=False)
        with counter:
            output = module(torch.empty(1, *shape))

    assert spec.output.shape == tuple(output.shape[1:])
    assert [(each.name, each.shape) for each in spec.parameters] == [
        (name, tuple(each.shape)) for name, each in module.named_parameters()
    ]
    assert spec.summary[0].flops == counter.get_total_flops()


@pytest.mark.parametrize(("fields", "shape"), LSTMS, ids=str)
def test_lstm_is_its_equations(fields: Fields, shape: Shape) -> None:
    module, given = made(fields, shape), batch(shape)
    own = dict(module.named_parameters())
    ends = ("", "_reverse") if fields.get("bidirectional") else ("",)

    output = given
    for layer in range(fields.get("num_layers", 1)):
        output = torch.cat([one_way(own, f"l{layer}{end}", output) for end in ends], 2)

    torch.testing.assert_close(module(given), output)
    torch.testing.assert_close(
        gradients(module(given), given, *own.values()), gradients(output, given, *own.values())
    )


def one_way(own: Mapping[str, Tensor], name: str, given: Tensor) -> Tensor:
    """Return h at each position, for one layer in one direction."""
    w, u = own[f"weight_ih_{name}"], own[f"weight_hh_{name}"]
    bias = own[f"bias_ih_{name}"] + own[f"bias_hh_{name}"] if f"bias_ih_{name}" in own else 0
    h = c = given.new_zeros(len(given), u.shape[1])
    steps = list(given.unbind(1))
    found = []
    for x in reversed(steps) if name.endswith("_reverse") else steps:
        i, f, g, o = (x @ w.T + h @ u.T + bias).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        found.append(h)
    return torch.stack(found[::-1] if name.endswith("_reverse") else found, 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("fields", "shape"), ATTENTIONS, ids=str)
def test_attention_is_torchs(fields: Fields, shape: Shape, training: bool) -> None:
    module, given = made(fields, shape).train(training), batch(shape)
    theirs = nn.MultiheadAttention(
        shape[1], fields["num_heads"], bias=fields.get("bias", True), batch_first=True
    )
    theirs.double().load_state_dict(module.state_dict())

    output, _ = theirs(given, given, given)

    torch.testing.assert_close(module(given), output)
    ours = gradients(module(given), given, *module.parameters())
    torch.testing.assert_close(ours, gradients(output, given, *theirs.parameters()))


def test_attention_begins_with_the_weights_of_torchs() -> None:
    module = made({"kind": "multihead_attention", "num_heads": 2}, (4, 6))

    torch.manual_seed(4)
    theirs = nn.MultiheadAttention(6, 2).double()

    torch.testing.assert_close(module.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def patches(module: nn.Module, given: Tensor) -> Tensor:
    weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
    side = weight.shape[2]
    rows = [
        (given[:, :, i : i + side, j : j + side].flatten(1) @ weight.flatten(1).T + bias)
        for i in range(0, given.shape[2], side)
        for j in range(0, given.shape[3], side)
    ]
    return torch.stack(rows, 1)


def with_token(module: nn.Module, given: Tensor) -> Tensor:
    token = module.get_parameter("weight")
    return torch.stack([torch.vstack([token, each]) for each in given])


def moved(module: nn.Module, given: Tensor) -> Tensor:
    return torch.stack([each + module.get_parameter("weight") for each in given])


BY_HAND: list[tuple[Callable[[nn.Module, Tensor], Tensor], tuple[Fields, Shape]]] = list(
    zip(
        (
            *(patches, patches, with_token, moved),
            lambda _, given: given[:, 0, :],
            lambda _, given: given[:, 2, :],
        ),
        OTHERS,
        strict=True,
    )
)


@pytest.mark.parametrize(("by_hand", "case"), BY_HAND, ids=[str(case) for _, case in BY_HAND])
def test_a_layer_is_what_its_docstring_says(
    by_hand: Callable[[nn.Module, Tensor], Tensor], case: tuple[Fields, Shape]
) -> None:
    module, given = made(*case), batch(case[1])
    with torch.no_grad():
        for each in module.parameters():
            each.normal_()

    output = by_hand(module, given)

    torch.testing.assert_close(module(given), output)
    ours = gradients(module(given), given, *module.parameters())
    torch.testing.assert_close(ours, gradients(output, given, *module.parameters()))


def test_first_weights_are_those_of_a_vision_transformer() -> None:
    torch.manual_seed(0)
    module = made({"kind": "patch_embedding", "patch_size": 8, "features": 64}, (3, 8, 8))
    token = made({"kind": "class_token"}, (4, 6))
    positions = made({"kind": "position_embedding"}, (64, 64))

    assert module.get_parameter("weight").std().item() == pytest.approx((1 / 192) ** 0.5, rel=0.02)
    assert not module.get_parameter("bias").any()
    assert not token.get_parameter("weight").any()
    assert positions.get_parameter("weight").std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("fields", "shape", "text"),
    [
        (
            {"kind": "lstm", "hidden_size": 3},
            (2, 4, 4),
            r"lstm needs \(length, features\), got \(channels 2, height 4, width 4\); permute",
        ),
        (
            {"kind": "multihead_attention", "num_heads": 4},
            (5, 6),
            "num_heads must divide the 6 features, got 4",
        ),
        ({"kind": "multihead_attention", "num_heads": 4}, (8,), r"needs \(length, features\), got"),
        (
            {"kind": "patch_embedding", "patch_size": 3, "features": 6},
            (1, 9, 8),
            r"patch_size must divide height and width of \(channels 1, height 9, width 8\), got 3",
        ),
        ({"kind": "class_token"}, (8,), r"class_token needs \(length, features\), got"),
        ({"kind": "position_embedding"}, (8,), r"position_embedding needs \(length, features\)"),
        (
            {"kind": "select", "index": 4},
            (4, 6),
            r"index must be from -4 to 3 for \(length 4, features 6\), got 4",
        ),
        ({"kind": "select", "index": -5}, (4, 6), "index must be from -4 to 3 .*, got -5"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(fields: Fields, shape: Shape, text: str) -> None:
    with pytest.raises(ShapeError, match=f"layer 0: .*{text}"):
        _ = network(fields, shape).output


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": "lstm"}, "hidden_size"),
        ({"kind": "lstm", "hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"kind": "lstm", "hidden_size": 2, "num_layers": 65}, "num_layers must be at most 64"),
        ({"kind": "multihead_attention", "num_heads": 0}, "num_heads must be at least 1, got 0"),
        (
            {"kind": "patch_embedding", "patch_size": 0, "features": 1},
            "patch_size must be at least 1",
        ),
        ({"kind": "select", "index": 1.5}, "index must be a whole number, got 1.5"),
    ],
)
def test_a_wrong_field_is_refused(fields: Fields, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        Sequential.parse({"kind": "sequential", "layers": [fields]})
