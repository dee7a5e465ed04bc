"""GPT: its layers by their names, its initial weights, and its outputs beside a network by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from optcore.networks.build import build
from optcore.optimizers.rules.catalogue import RULES
from optcore.spec.datasets.text import Text
from optcore.spec.errors import SpecError
from optcore.spec.models.gpt import Gpt
from optcore.spec.networks.network import Network, network_of
from optcore.spec.optimizers.sparse import TAKES_SPARSE, TAKES_SPARSE_IN_PADDLE
from optcore.spec.run import RunSpec

LENGTH = 6
TEXT: dict[str, Any] = {"kind": "text", "file": "a.txt", "length": LENGTH}


def network(**options: Any) -> Network:
    spec = Gpt.parse({"kind": "gpt", "width": 8, "depth": 2, "heads": 2, **options})
    dataset = Text.parse(TEXT)
    return network_of(tuple(spec.network(dataset.target)), dataset.input)


def shapes(**options: Any) -> dict[str, tuple[int, ...]]:
    return {each.name: each.shape for each in network(**options).parameters}


def test_parameters_have_the_names_of_their_layers() -> None:
    found = shapes(bias=False)

    block = {
        "attention.layers.norm.weight": (8,),
        **{f"attention.layers.attention.{n}_proj.weight": (8, 8) for n in ("q", "k", "v", "out")},
        "mlp.layers.norm.weight": (8,),
        "mlp.layers.fc.weight": (32, 8),
        "mlp.layers.proj.weight": (8, 32),
    }
    assert found == {
        "tokens.weight": (256, 8),
        "positions.weight": (LENGTH, 8),
        **{f"blocks.{i}.{name}": shape for i in (0, 1) for name, shape in block.items()},
        "norm.weight": (8,),
    }
    untied = shapes(bias=False, tie_embeddings=False, positions="rotary")
    assert untied.keys() - found.keys() == {"head.weight"}
    assert found.keys() - untied.keys() == {"positions.weight"}


@pytest.mark.parametrize("tied", [True, False])
def test_initial_weights_are_those_of_gpt2(tied: bool) -> None:
    torch.manual_seed(1)
    model = build(network(width=128, depth=4, tie_embeddings=tied))

    for name, param in model.named_parameters():
        if name.endswith("bias"):
            assert not param.any(), name
        elif "norm" in name:
            assert (param == 1).all(), name
        else:
            added = name.endswith(("out_proj.weight", ".proj.weight"))
            std = 0.02 / math.sqrt(8) if added else 0.02
            assert param.std().item() == pytest.approx(std, rel=0.05), name
            assert abs(param.mean().item()) < std / 10


def by_hand(p: Mapping[str, Tensor], tokens: Tensor, *, heads: int) -> Tensor:
    """Return the logits of a GPT with learned positions, from the parameters by their names."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    x = p["tokens.weight"][tokens] + p["positions.weight"]
    length, width = x.shape[1:]
    hidden = ~torch.ones(length, length).tril().bool()
    for i in range(2):
        at = f"blocks.{i}.attention.layers"
        y = norm(x, f"{at}.norm")
        q, k, v = (
            linear(y, f"{at}.attention.{n}_proj").view(-1, length, heads, width // heads).mT
            for n in "qkv"
        )
        scores = torch.einsum("bldh,bmdh->bhlm", q, k) / math.sqrt(width // heads)
        weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
        y = torch.einsum("bhlm,bmdh->blhd", weights, v).flatten(2)
        x = x + linear(y, f"{at}.attention.out_proj")
        at = f"blocks.{i}.mlp.layers"
        y = linear(norm(x, f"{at}.norm"), f"{at}.fc")
        y = y / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + linear(y, f"{at}.proj")
    return norm(x, "norm") @ p.get("head.weight", p["tokens.weight"]).T


@pytest.mark.parametrize("tied", [True, False])
def test_outputs_and_gradients_are_those_of_a_network_by_hand(tied: bool) -> None:
    torch.manual_seed(2)
    model = build(network(tie_embeddings=tied)).double()
    for param in model.parameters():
        torch.nn.init.normal_(param, std=0.5)
    own = {n: param.detach().clone().requires_grad_() for n, param in model.named_parameters()}
    tokens, targets = torch.randint(256, (2, 3, LENGTH))

    found, expected = model(tokens), by_hand(own, tokens, heads=2)
    for logits in (found, expected):
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()

    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert own.keys() == dict(model.named_parameters()).keys()
    for name, param in model.named_parameters():
        torch.testing.assert_close(param.grad, own[name].grad, rtol=1e-9, atol=1e-9, msg=name)


def test_no_position_sees_a_later_one() -> None:
    model = build(network(positions="rotary")).eval()
    tokens = torch.randint(256, (1, LENGTH))
    other = tokens.clone()
    other[0, 3:] += 1

    before, after = model(tokens), model(other % 256)

    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


ERRORS = [
    ({"width": 10, "heads": 4}, "width must be a multiple of heads, 4, got 10"),
    (
        {"width": 12, "heads": 4, "positions": "rotary"},
        "width must be an even multiple of heads for rotary positions, 4, got 12",
    ),
]


@pytest.mark.parametrize(("options", "message"), ERRORS)
def test_a_width_that_the_heads_do_not_divide_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        Gpt.parse({"kind": "gpt", **options})


def run_of(**parts: Any) -> RunSpec:
    spec = {
        "model": {"kind": "gpt", "width": 8, "depth": 1, "heads": 2},
        "dataset": TEXT,
        "optimizer": {"kind": "adamw"},
        "training": {"steps": 2},
    }
    return RunSpec.parse({**spec, **parts})


def test_a_dataset_without_tokens_is_refused() -> None:
    message = (
        r"model must accept examples of mnist, which are \(channels 1, height 28, width 28\): "
        r"layer tokens: embedding needs tokens \(length\), got"
    )

    with pytest.raises(SpecError, match=message):
        run_of(dataset={"kind": "mnist"})


def test_an_embedding_with_too_few_rows_is_refused() -> None:
    layers = [
        {"kind": "embedding", "name": "tokens", "num_embeddings": 255, "embedding_dim": 4},
        {"kind": "linear", "out_features": 256},
    ]

    with pytest.raises(
        SpecError,
        match="layer tokens: num_embeddings must be at least 256, the number of tokens of text, "
        "got 255",
    ):
        run_of(model={"kind": "sequential", "layers": layers})


@pytest.mark.parametrize("precision", ["mindspore_o1", "mindspore_o2", "mindspore_o3"])
def test_levels_of_mindspore_are_for_real_numbers(precision: str) -> None:
    with pytest.raises(
        SpecError,
        match=f"precision {precision} must have a dataset of real numbers, got tokens of text",
    ):
        run_of(training={"steps": 2, "precision": precision})


SPARSE = {"kind": "embedding", "num_embeddings": 256, "embedding_dim": 4, "sparse": True}


@pytest.mark.parametrize(
    ("optimizer", "taken"),
    [
        ({"kind": "sgd"}, True),
        ({"kind": "lazy_adam"}, True),
        ({"kind": "adagrad"}, True),
        ({"kind": "adam", "dialect": "paddle"}, True),
        ({"kind": "adam"}, False),
        ({"kind": "lazy_adam", "clip": {"kind": "adaptive", "max": 0.1}}, False),
    ],
    ids=str,
)
def test_row_sparse_gradients_need_an_optimizer_that_takes_them(
    optimizer: dict[str, Any], taken: bool
) -> None:
    model = {"kind": "sequential", "layers": [SPARSE, {"kind": "linear", "out_features": 256}]}
    if taken:
        assert run_of(model=model, optimizer=optimizer).num_parameters
        return
    with pytest.raises(SpecError, match=r"layer 0: sparse must be false for "):
        run_of(model=model, optimizer=optimizer)


def test_a_shared_embedding_has_no_sparse_gradient() -> None:
    tokens = {**SPARSE, "name": "tokens", "embedding_dim": 4}
    head = {"kind": "linear", "name": "head", "out_features": 256, "bias": False}
    shared = {**head, "share": {"weight": "tokens.weight"}}

    with pytest.raises(
        SpecError,
        match=r"layer tokens: sparse must be false, since head.weight shares the parameter",
    ):
        run_of(
            model={"kind": "sequential", "layers": [tokens, shared]},
            optimizer={"kind": "lazy_adam"},
        )


def test_sparse_gradients_are_not_accumulated() -> None:
    model = {"kind": "sequential", "layers": [SPARSE, {"kind": "linear", "out_features": 256}]}

    with pytest.raises(
        SpecError, match=r"accumulate must be 1 with row-sparse gradients \(sparse of layer 0\)"
    ):
        run_of(
            model=model,
            optimizer={"kind": "lazy_adam"},
            training={"steps": 2, "accumulate": 2},
        )


@pytest.mark.parametrize("kind", sorted(RULES))
def test_optimizers_that_take_sparse_gradients_are_those_of_the_rules(kind: str) -> None:
    rule = RULES[kind]

    assert (kind in TAKES_SPARSE) is (rule.takes_sparse or rule.by_rows)
    assert (kind in TAKES_SPARSE_IN_PADDLE) is rule.takes_sparse_in_paddle
