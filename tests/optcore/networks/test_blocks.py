"""Blocks: what they compute, and the paths of the layers in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add, mul
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.networks.build import build
from optcore.spec.errors import SpecError
from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, TensorSpec
from optcore.spec.models.sequential import Sequential
from tests.support.optcore.layers.networks import network_of

Json = dict[str, Any]
WIDTH = 3
NAMES = st.sampled_from([None, "a", "b", "c"])


def linear(name: str | None = None) -> Json:
    return {"kind": "linear", "out_features": WIDTH, "name": name}


def unnamed_twice(layers: list[Json]) -> list[Json]:
    """Return *layers* without the names that an earlier one has."""
    seen: set[str | None] = set()
    for layer in layers:
        if layer["name"] in seen:
            layer["name"] = None
        seen.add(layer["name"])
    return layers


LEAVES = st.builds(linear, NAMES) | st.fixed_dictionaries(
    {"kind": st.sampled_from(["relu", "tanh"]), "name": NAMES}
)


def blocks(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    some = st.lists(inner, min_size=1, max_size=3).map(unnamed_twice)
    any_number = st.lists(inner, max_size=2).map(unnamed_twice)
    return st.one_of(
        st.fixed_dictionaries({"kind": st.just("sequential"), "name": NAMES, "layers": some}),
        st.fixed_dictionaries(
            {"kind": st.just("repeat"), "name": NAMES, "layers": some, "times": st.integers(1, 3)}
        ),
        st.fixed_dictionaries(
            {"kind": st.just("residual"), "name": NAMES, "layers": some, "shortcut": any_number}
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("parallel"),
                "name": NAMES,
                "branches": st.lists(any_number, min_size=2, max_size=3),
                "join": st.sampled_from(["add", "multiply"]),
            }
        ),
    )


TREES = st.lists(st.recursive(LEAVES, blocks, max_leaves=8), min_size=1, max_size=3).map(
    unnamed_twice
)


def interpreted(
    layers: list[Json], prefix: str, weights: Mapping[str, Tensor], x: Tensor
) -> Tensor:
    """Compute what *layers* say of *x*, with each weight by its full name."""
    for i, layer in enumerate(layers):
        path = f"{prefix}{layer.get('name') or i}"
        match layer["kind"]:
            case "linear":
                x = x @ weights[f"{path}.weight"].T + weights[f"{path}.bias"]
            case "relu":
                x = x.clamp(min=0)
            case "tanh":
                x = x.tanh()
            case "sequential":
                x = interpreted(layer["layers"], f"{path}.", weights, x)
            case "repeat":
                for time in range(layer["times"]):
                    x = interpreted(layer["layers"], f"{path}.{time}.", weights, x)
            case "residual":
                x = interpreted(layer["layers"], f"{path}.layers.", weights, x) + interpreted(
                    layer["shortcut"], f"{path}.shortcut.", weights, x
                )
            case "parallel":
                outputs = [
                    interpreted(branch, f"{path}.{j}.", weights, x)
                    for j, branch in enumerate(layer["branches"])
                ]
                x = reduce(add if layer["join"] == "add" else mul, outputs)
    return x


@settings(max_examples=100, deadline=None)
@given(layers=TREES, axes=st.sampled_from([(WIDTH,), (2, WIDTH)]))
def test_any_tree_computes_what_it_says_with_the_names_of_its_paths(
    layers: list[Json], axes: tuple[int, ...]
) -> None:
    spec = network_of(layers, axes)
    net = build(spec).double()
    x = torch.randn(4, *axes, dtype=torch.float64)

    weights = dict(net.named_parameters())
    wanted = interpreted(layers, "", weights, x)

    torch.testing.assert_close(net(x), wanted)
    planned = [(each.name, each.shape) for each in spec.parameters]
    assert planned == [(name, tuple(tensor.shape)) for name, tensor in weights.items()]
    assert spec.num_parameters == sum(tensor.numel() for tensor in weights.values())
    assert sum(row.copies for row in spec.summary) == sum(
        isinstance(module, (nn.Linear, nn.ReLU, nn.Tanh)) for module in net.modules()
    )


def test_a_repeat_in_a_repeat_is_summed_up_once_and_has_all_parameters() -> None:
    inner = {"kind": "repeat", "name": "inner", "times": 3, "layers": [linear("fc")]}
    outer = {"kind": "repeat", "name": "outer", "times": 2, "layers": [inner, linear()]}

    spec = network_of([outer], (WIDTH,))

    assert [(row.name, row.copies, row.num_parameters) for row in spec.summary] == [
        ("outer.0.inner.0.fc", 6, 12),
        ("outer.0.1", 2, 12),
    ]
    assert [each.name for each in spec.parameters if each.name.endswith("weight")] == [
        *(f"outer.0.inner.{i}.fc.weight" for i in range(3)),
        "outer.0.1.weight",
        *(f"outer.1.inner.{i}.fc.weight" for i in range(3)),
        "outer.1.1.weight",
    ]
    assert spec.num_parameters == 8 * 12


def test_a_repeat_has_the_same_paths_however_often_it_repeats() -> None:
    """So that a glob or a share that fits it fits it for every depth."""
    names = [
        [each.name for each in network_of([repeat], (WIDTH,)).parameters]
        for times in (1, 2)
        for repeat in [{"kind": "repeat", "name": "r", "times": times, "layers": [linear("fc")]}]
    ]

    assert names[0] == ["r.0.fc.weight", "r.0.fc.bias"] == names[1][:2]


def test_every_copy_has_weights_of_its_own_that_a_seed_determines() -> None:
    repeat = {"kind": "repeat", "times": 2, "layers": [linear("fc")]}
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(dict(build(network_of([repeat], (WIDTH,))).named_parameters()))

    assert not torch.equal(nets[0]["0.0.fc.weight"], nets[0]["0.1.fc.weight"])
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])


SIGNALS = {"kind": "permute", "axes": "signal"}
SEQUENCES = {"kind": "permute", "axes": "sequence"}


@pytest.mark.parametrize(
    ("given", "branch", "dim"),
    [
        (TensorSpec((2, 1, 5), IMAGE), SEQUENCES, 2),
        (TensorSpec((2, 5), SIGNAL), SEQUENCES, 2),
        (TensorSpec((5, 2), SEQUENCE), SIGNALS, 1),
        (TensorSpec((2, 1, 5), IMAGE), {"kind": "global_pool"}, 1),
    ],
    ids=str,
)
def test_branches_that_return_something_else_are_joined_along_its_channels_or_features(
    given: TensorSpec, branch: Json, dim: int
) -> None:
    block = {"kind": "parallel", "branches": [[branch], [branch, {"kind": "tanh"}]]}
    spec = network_of([{**block, "join": "concat"}], given)
    x = torch.randn(3, *given.shape)

    output = build(spec)(x)

    alone = build(network_of([branch], given))(x)
    assert torch.equal(output, torch.cat([alone, alone.tanh()], dim))
    assert tuple(output.shape[1:]) == spec.output.shape


@pytest.mark.parametrize(
    ("layers", "path"),
    [
        ([linear("a"), linear("a")], "layers[0].name"),
        (
            [{"kind": "sequential", "layers": [linear("a"), linear("a")]}],
            "layers[0].layers[0].name",
        ),
        (
            [{"kind": "residual", "layers": [linear()], "shortcut": [linear("a"), linear("a")]}],
            "layers[0].shortcut[0].name",
        ),
        (
            [{"kind": "parallel", "branches": [[], [linear("a"), linear(), linear("a")]]}],
            "layers[0].branches[1][0].name",
        ),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_names_differ_among_the_layers_of_a_list(layers: list[Json], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        Sequential.parse({"kind": "sequential", "layers": layers})

    (problem,) = caught.value.problems
    assert problem.param == path
    assert problem.message == "name must be used once, got 'a' twice"


def test_the_same_name_in_two_blocks_is_no_mistake() -> None:
    block = {"kind": "sequential", "layers": [linear("a")]}

    Sequential.parse({"kind": "sequential", "layers": [block, block, linear("a")]})
