"""Initial values of parameters by name: which parameters, which values, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from optcore.networks.build import build
from optcore.spec.errors import SpecError
from optcore.spec.layers.base import ShapeError, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.init import INITS
from optcore.spec.networks.network import Network

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)
SHAPE = (40, 30)


def linear(name: str, out_features: int = 4, **options: Any) -> dict[str, Any]:
    return {"kind": "linear", "name": name, "out_features": out_features, **options}


def network(*layers: dict[str, Any], features: int = 4) -> Network:
    return Network(tuple(map(PARSER.validate_python, layers)), TensorSpec.of((features,)))


def weights(*layers: dict[str, Any], features: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return dict(build(network(*layers, features=features)).state_dict())


CASES = {
    "zeros": nn.init.zeros_,
    "ones": nn.init.ones_,
    "constant": (lambda t: nn.init.constant_(t, 0.5), {"value": 0.5}),
    "uniform": (lambda t: nn.init.uniform_(t, -0.1, 0.2), {"low": -0.1, "high": 0.2}),
    "normal": (lambda t: nn.init.normal_(t, 1.0, 0.02), {"mean": 1.0, "std": 0.02}),
    "trunc_normal": (lambda t: nn.init.trunc_normal_(t, 0, 0.02, -0.04, 0.04), {"std": 0.02}),
    "xavier_uniform": (lambda t: nn.init.xavier_uniform_(t, 1.5), {"gain": 1.5}),
    "xavier_normal": (lambda t: nn.init.xavier_normal_(t, 1.5), {"gain": 1.5}),
    "kaiming_uniform": (
        lambda t: nn.init.kaiming_uniform_(t, 0.1, "fan_out"),
        {"slope": 0.1, "mode": "fan_out"},
    ),
    "kaiming_normal": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
}


@pytest.mark.parametrize("kind", INITS)
def test_values_are_those_of_torchs_function(kind: str) -> None:
    case = CASES[kind]
    fill, options = case if isinstance(case, tuple) else (case, {})
    init: Any = {"kind": kind, **options} if options else kind
    found = weights(linear("fc", SHAPE[0], init=init), features=SHAPE[1])
    torch.manual_seed(7)
    theirs = nn.Linear(SHAPE[1], SHAPE[0])
    with torch.no_grad():
        fill(theirs.weight)

    assert torch.equal(found["fc.weight"], theirs.weight)
    assert torch.equal(found["fc.bias"], theirs.bias)


def test_layers_without_an_initialisation_keep_theirs() -> None:
    before = weights(linear("a"), linear("b"))
    after = weights(linear("a", init={"bias": "zeros"}), linear("b"))

    assert torch.equal(after["a.weight"], before["a.weight"])
    assert torch.equal(after["a.bias"], torch.zeros(4))
    assert torch.equal(after["b.weight"], before["b.weight"])


def test_the_innermost_layer_with_a_glob_that_matches_counts() -> None:
    inner = {
        "kind": "repeat",
        "name": "twice",
        "times": 2,
        "init": {"a.weight": {"kind": "constant", "value": 2}},
        "layers": [linear("a", init={"bias": "ones"}), linear("b")],
    }
    found = weights(
        {
            "kind": "sequential",
            "name": "all",
            "init": {"*.b.weight": {"kind": "constant", "value": 3}, "*": "zeros"},
            "layers": [inner, linear("c")],
        }
    )

    values = {name: sorted(set(each.flatten().tolist())) for name, each in found.items()}
    copies = {
        f"all.twice.{i}.{name}": [value]
        for i in (0, 1)
        for name, value in (("a.weight", 2), ("a.bias", 1), ("b.weight", 3), ("b.bias", 0))
    }
    assert values == copies | {"all.c.weight": [0], "all.c.bias": [0]}


def test_one_initialisation_of_a_block_is_that_of_matrices_whatever_their_names() -> None:
    """Norms and biases keep theirs."""
    constant = {"kind": "constant", "value": 2}
    encoder = {"kind": "transformer_encoder_layer", "nhead": 1, "dim_feedforward": 4}

    found = weights(
        {
            "kind": "sequential",
            "name": "all",
            "init": constant,
            "layers": [
                {"kind": "reshape", "shape": [1, 4], "axes": "sequence"},
                {**encoder, "name": "encoder"},
                {"kind": "gru", "name": "gru", "hidden_size": 4},
            ],
        }
    )

    changed = {name.removeprefix("all.") for name, each in found.items() if each.eq(2).all()}
    assert changed == {
        *("encoder.self_attn.in_proj_weight", "encoder.self_attn.out_proj.weight"),
        *("encoder.linear1.weight", "encoder.linear2.weight"),
        *("gru.weight_ih_l0", "gru.weight_hh_l0"),
    }
    assert found["all.encoder.norm1.weight"].eq(1).all()


def test_one_initialisation_of_a_norm_is_that_of_its_weight() -> None:
    found = weights({"kind": "batch_norm", "name": "norm", "init": "zeros"})

    assert found["norm.weight"].eq(0).all()


def test_a_glob_counts_before_the_key_for_all_weights() -> None:
    layers = [linear("a"), linear("b")]
    init = {"a.*": "ones", "weights": "zeros"}
    found = weights({"kind": "sequential", "name": "all", "layers": layers, "init": init})

    assert found["all.a.weight"].eq(1).all()
    assert found["all.b.weight"].eq(0).all()


def test_globs_of_a_block_have_no_number_of_a_repetition_at_any_depth() -> None:
    repeat = {"kind": "repeat", "name": "stage", "times": 2, "layers": [linear("a")]}
    outer = {"kind": "repeat", "name": "outer", "times": 2, "layers": [repeat]}
    body = {"kind": "sequential", "name": "body", "layers": [outer]}

    found = weights({**body, "init": {"outer.stage.a.weight": "zeros"}})

    names = [f"body.outer.{i}.stage.{j}.a.weight" for i in (0, 1) for j in (0, 1)]
    assert all(found[name].eq(0).all() for name in names)
    with pytest.raises(ShapeError, match=re.escape("got 'outer.0.stage.0.a.weight'; did you mean")):
        _ = network({**body, "init": {"outer.0.stage.0.a.weight": "zeros"}}).initial


def test_a_shared_parameter_has_the_initialisation_of_its_first_layer() -> None:
    found = weights(
        linear("a", init={"weight": "ones"}),
        linear("b", share={"weight": "a.weight"}, init={"bias": "zeros"}),
    )

    assert torch.equal(found["b.weight"], torch.ones(4, 4))


ERRORS: list[tuple[dict[str, Any], str]] = [
    (
        linear("fc", init={"wieght": "zeros"}),
        "layer fc: init must match parameters of the layer that nothing else initialises (weight, "
        "bias), got 'wieght'; did you mean 'weight'?",
    ),
    (
        linear("fc", init={"bi*": "zeros", "bias": "ones"}),
        "layer fc: init must match parameters of the layer that nothing else initialises (weight, "
        "bias), got 'bi*'",
    ),
    (
        {"kind": "relu", "name": "act", "init": "zeros"},
        "layer act: init must match parameters of the layer that nothing else initialises (none), "
        "got 'weights'",
    ),
    (
        linear("fc", init={"bias": "xavier_uniform"}),
        "layer fc: init xavier_uniform needs a parameter of at least 2 dimensions, got bias of "
        "shape (4,)",
    ),
]


@pytest.mark.parametrize(("layer", "message"), ERRORS, ids=lambda value: str(value)[:40])
def test_an_initialisation_that_changes_nothing_is_refused(
    layer: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        _ = network(layer).initial


PARSED: list[tuple[Any, str]] = [
    (
        3,
        "init: init must be an initialisation, or a mapping from names of parameters to "
        "initialisations, got 3",
    ),
    ("normel", "got 'normel'; did you mean 'normal'?"),
    ({"weight": {"kind": "normal", "std": -1}}, "init.weight.std: std must be at least 0, got -1"),
    ({"kind": "uniform", "low": 1}, "high must be above low, 1.0, got 1.0"),
    ({"*a*b*c": "zeros", "*a*b*c*d*": "zeros"}, "a glob must have at most 4 wildcards (* ? [)"),
]


@pytest.mark.parametrize(("init", "message"), PARSED, ids=str)
def test_an_initialisation_is_checked(init: object, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        Linear.parse(linear("fc", init=init))


def test_a_layer_without_an_initialisation_keeps_its_json() -> None:
    layer = Linear.parse(linear("fc"))

    assert layer.model_dump(mode="json").keys() == {"kind", "name", "out_features", "bias"}
    assert layer.later_fields() == set()
    assert Linear.parse(linear("fc", init="zeros")).later_fields() == {"init"}


def test_many_globs_for_many_parameters_are_refused_at_once() -> None:
    globs = {f"*{i}*x": "zeros" for i in range(64)}
    layers = [linear(f"fc{i}") for i in range(1000)]

    with pytest.raises(ShapeError, match="init must compare at most 100000 pairs of a glob and"):
        _ = network({"kind": "sequential", "layers": layers, "init": globs}).initial
