"""Layers for sequences, held against torch and against modules written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from optcore.networks.build import build
from optcore.networks.draws import Draws, number
from optcore.spec.layers.base import SEQUENCE, TOKENS, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.networks.network import Network
from tests.support.optcore.layers.networks import dropped

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)
BATCH = 3


def network(spec: Mapping[str, Any], given: TensorSpec) -> Network:
    return Network((PARSER.validate_python({"name": "own", **spec}),), given)


def tokens(length: int) -> TensorSpec:
    return TensorSpec((length,), TOKENS, integers=True)


def sequence(length: int, features: int) -> TensorSpec:
    return TensorSpec((length, features), SEQUENCE)


def batch_of(given: TensorSpec, *, values: int = 2) -> Tensor:
    if given.integers:
        return torch.randint(values, (BATCH, *given.shape))
    return torch.randn(BATCH, *given.shape)


HEADS = st.sampled_from([1, 2, 3])
SIZES = st.integers(1, 6)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], TensorSpec]:
    """Return a layer with random arguments, and what it takes."""
    flag, length = st.booleans(), draw(st.integers(1, 7))
    own: dict[str, Any]
    kind = draw(st.sampled_from(KINDS))
    heads = draw(HEADS)
    width = 2 * heads * draw(st.integers(1, 3))
    dropout = draw(st.sampled_from([0.0, 0.3]))
    match kind:
        case "embedding":
            own = {"num_embeddings": draw(SIZES), "embedding_dim": draw(SIZES)}
            return {"kind": kind, **own, "sparse": draw(flag)}, tokens(length)
        case "position_embedding":
            return {"kind": kind}, sequence(length, draw(SIZES))
        case "gru":
            own = {"hidden_size": draw(SIZES), "num_layers": draw(st.integers(1, 3))}
            options = {"bidirectional": draw(flag), "bias": draw(flag), "dropout": dropout}
            return {"kind": kind, **own, **options}, sequence(length, draw(SIZES))
        case "self_attention":
            options = {name: draw(flag) for name in ("causal", "rotary", "bias")}
            own = {"num_heads": heads, "dropout": dropout, **options}
            return {"kind": kind, **own}, sequence(length, width)
        case _:
            options = {name: draw(flag) for name in ("causal", "norm_first", "bias")}
            own = {
                "nhead": heads,
                "dim_feedforward": draw(SIZES),
                "dropout": dropout,
                **options,
            }
            activation = draw(st.sampled_from(["relu", "gelu"]))
            return {"kind": kind, "activation": activation, **own}, sequence(length, width)


KINDS = ("embedding", "position_embedding", "gru", "self_attention", "transformer_encoder_layer")


@given(cases())
@settings(max_examples=150, deadline=None)
def test_shapes_parameters_and_operations_are_torchs(
    case: tuple[dict[str, Any], TensorSpec],
) -> None:
    spec, given = case
    net = network(spec, given)
    with torch.device("meta"):
        module = build(net)
        inputs = torch.zeros(1, *given.shape, dtype=torch.long if given.integers else None)
        with FlopCounterMode(display=False) as counter:
            output = module(inputs)

    (row,) = net.summary

    assert row.output_shape == tuple(output.shape[1:])
    assert [(each.name, each.shape) for each in net.parameters] == [
        (name, tuple(param.shape)) for name, param in module.named_parameters()
    ]
    assert row.flops == counter.get_total_flops()


def own_gru(x: Tensor, p: Mapping[str, Tensor], layer: str) -> Tensor:
    """Return the outputs of one layer in one direction."""
    hidden = p[f"weight_hh_{layer}"].shape[1]
    h = torch.zeros(len(x), hidden, dtype=x.dtype)
    none = torch.zeros(3 * hidden, dtype=x.dtype)
    outputs = []
    for t in range(x.shape[1]):
        a = x[:, t] @ p[f"weight_ih_{layer}"].T + p.get(f"bias_ih_{layer}", none)
        b = h @ p[f"weight_hh_{layer}"].T + p.get(f"bias_hh_{layer}", none)
        (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
        r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
        h = (1 - z) * torch.tanh(an + r * bn) + z * h
        outputs.append(h)
    return torch.stack(outputs, 1)


def by_hand_gru(spec: Mapping[str, Any], x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    for layer in range(spec["num_layers"]):
        found = [own_gru(x, p, f"l{layer}")]
        if spec["bidirectional"]:
            found.append(own_gru(x.flip(1), p, f"l{layer}_reverse").flip(1))
        x = torch.cat(found, -1)
    return x


def turned(x: Tensor) -> Tensor:
    """Return *x*, (batch, length, features), with pairs (i, i + h/2) turned by complex factors."""
    length, h = x.shape[1:]
    factors = torch.stack(
        [
            torch.tensor(
                [complex(math.cos(a), math.sin(a)) for a in angles], dtype=torch.complex128
            )
            for angles in (
                [t * 10_000 ** (-2 * i / h) for i in range(h // 2)] for t in range(length)
            )
        ]
    )
    pairs = torch.complex(x[..., : h // 2], x[..., h // 2 :]) * factors
    return torch.cat((pairs.real, pairs.imag), -1)


def attended(
    q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool, rotary: bool = False
) -> Tensor:
    """Return the outputs of all heads, head after head and position after position."""
    outputs = []
    for one in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        a, b, c = (turned(one[0]), turned(one[1]), one[2]) if rotary else one
        rows = []
        for t in range(q.shape[1]):
            last = t + 1 if causal else q.shape[1]
            scores = (a[:, t : t + 1] * b[:, :last]).sum(-1) / math.sqrt(a.shape[-1])
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            rows.append((weights[..., None] * c[:, :last]).sum(1))
        outputs.append(torch.stack(rows, 1))
    return torch.cat(outputs, -1)


def linear(x: Tensor, p: Mapping[str, Tensor], name: str) -> Tensor:
    found = x @ p[f"{name}.weight"].T
    return found + p[f"{name}.bias"] if f"{name}.bias" in p else found


def by_hand_attention(spec: Mapping[str, Any], x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    q, k, v = (linear(x, p, f"{name}_proj") for name in "qkv")
    heads, causal, rotary = spec["num_heads"], spec["causal"], spec["rotary"]
    return linear(attended(q, k, v, heads, causal=causal, rotary=rotary), p, "out_proj")


def normalised(x: Tensor, p: Mapping[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    found = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    found = found * p[f"{name}.weight"]
    return found + p[f"{name}.bias"] if f"{name}.bias" in p else found


def by_hand_encoder(spec: Mapping[str, Any], x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    def attention(x: Tensor) -> Tensor:
        projected = x @ p["self_attn.in_proj_weight"].T
        if spec["bias"]:
            projected = projected + p["self_attn.in_proj_bias"]
        q, k, v = projected.chunk(3, -1)
        found = attended(q, k, v, spec["nhead"], causal=spec["causal"])
        return linear(found, p, "self_attn.out_proj")

    def fed(x: Tensor) -> Tensor:
        inner = linear(x, p, "linear1")
        if spec["activation"] == "relu":
            return linear(inner.clamp(min=0), p, "linear2")
        return linear(inner * (1 + torch.erf(inner / math.sqrt(2))) / 2, p, "linear2")

    if spec["norm_first"]:
        x = x + attention(normalised(x, p, "norm1"))
        return x + fed(normalised(x, p, "norm2"))
    x = normalised(x + attention(x), p, "norm1")
    return normalised(x + fed(x), p, "norm2")


BY_HAND: dict[str, Callable[[Mapping[str, Any], Tensor, Mapping[str, Tensor]], Tensor]] = {
    "embedding": lambda _, x, p: torch.stack([p["weight"][row] for row in x]),
    "position_embedding": lambda _, x, p: torch.stack([row + p["weight"] for row in x]),
    "gru": by_hand_gru,
    "self_attention": by_hand_attention,
    "transformer_encoder_layer": by_hand_encoder,
}


@given(cases())
@settings(max_examples=150, deadline=None)
def test_outputs_and_gradients_are_those_of_a_module_by_hand(
    case: tuple[dict[str, Any], TensorSpec],
) -> None:
    spec, given = {**case[0]}, case[1]
    spec |= {"dropout": 0.0} if "dropout" in spec else {}
    torch.manual_seed(3)
    module = build(network(spec, given)).double()
    for param in module.parameters():
        nn.init.normal_(param)
    inputs = batch_of(given, values=spec.get("num_embeddings", 0))
    inputs = inputs if given.integers else inputs.double().requires_grad_()
    own = {
        name.removeprefix("own."): param.detach().clone().requires_grad_()
        for name, param in module.named_parameters()
    }
    theirs = inputs.detach().clone().requires_grad_(inputs.requires_grad)

    found, expected = module(inputs), BY_HAND[spec["kind"]](spec, theirs, own)
    weights = torch.randn_like(expected)
    for output in (found, expected):
        (output * weights).sum().backward()

    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for name, param in module.named_parameters():
        assert param.grad is not None
        assert param.grad.is_sparse == spec.get("sparse", False)
        grad = param.grad.to_dense()
        reference = own[name.removeprefix("own.")].grad
        torch.testing.assert_close(grad, reference, rtol=1e-9, atol=1e-9, msg=name)
    if not given.integers:
        torch.testing.assert_close(inputs.grad, theirs.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_an_encoder_layer_has_torchs_weights_and_outputs(norm_first: bool, causal: bool) -> None:
    spec = {"nhead": 2, "dim_feedforward": 9, "norm_first": norm_first, "causal": causal}
    torch.manual_seed(5)
    ours = build(network({"kind": "transformer_encoder_layer", **spec}, sequence(6, 8))).eval()
    torch.manual_seed(5)
    theirs = nn.TransformerEncoderLayer(8, 2, 9, batch_first=True, norm_first=norm_first).eval()
    inputs = batch_of(sequence(6, 8))
    mask = nn.Transformer.generate_square_subsequent_mask(6) if causal else None

    weights = theirs.state_dict()

    assert all(torch.equal(ours.state_dict()[f"own.{n}"], each) for n, each in weights.items())
    assert len(ours.state_dict()) == len(weights)
    torch.testing.assert_close(ours(inputs), theirs(inputs, src_mask=mask, is_causal=causal))


@pytest.mark.parametrize("kind", ["self_attention", "transformer_encoder_layer"])
def test_dropout_depends_on_the_step_alone(kind: str) -> None:
    heads = {"num_heads": 2} if kind == "self_attention" else {"nhead": 2}
    net = network({"kind": kind, "dropout": 0.5, **heads}, sequence(4, 6))

    outputs = dropped(net, batch_of(sequence(4, 6)))

    assert net.draws
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def test_dropout_is_that_of_the_weights_of_attention() -> None:
    draws = Draws(1)
    spec = {"kind": "self_attention", "num_heads": 2, "causal": True, "bias": False}
    module = build(network({**spec, "dropout": 0.5}, sequence(4, 6)), draws).double().train()
    inputs = batch_of(sequence(4, 6)).double()
    own = {name.removeprefix("own."): p for name, p in module.named_parameters()}
    q, k, v = (
        linear(inputs, own, f"{name}_proj").unflatten(-1, (2, 3)).transpose(1, 2) for name in "qkv"
    )
    mask = draws.mask(number("own.attention"), BATCH * 2 * 4 * 4, 0.5, value=2.0, like=inputs).view(
        BATCH, 2, 4, 4
    )
    scores = (q @ k.mT / math.sqrt(3)).masked_fill(~torch.ones(4, 4).tril().bool(), -math.inf)

    found = ((scores.softmax(-1) * mask) @ v).transpose(1, 2).flatten(2)

    torch.testing.assert_close(module(inputs), linear(found, own, "out_proj"))
