"""Parameters that several layers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optcore.networks.build import build, network
from optcore.networks.draws import Draws
from optcore.spec.errors import SpecError
from optcore.spec.layers.base import SEQUENCE, ShapeError, TensorSpec
from optcore.spec.layers.dense import Linear
from optcore.spec.networks.network import Network
from tests.support.optcore.layers.networks import network_of
from tests.support.optcore.runs.small import start, steps

Json = dict[str, Any]


def linear(name: str, out: int = 3, **share: str) -> Json:
    return {"kind": "linear", "name": name, "out_features": out, "share": share}


PLAIN: Json = {"kind": "linear", "out_features": 3}
TIED = [linear("a"), {"kind": "tanh"}, linear("b", weight="a.weight")]
REPEATED = [
    {
        "kind": "repeat",
        "name": "r",
        "times": 3,
        "layers": [linear("a"), linear("b", weight="r.0.a.weight")],
    }
]


def loaded(spec: Network) -> nn.Sequential:
    torch.manual_seed(2)
    return build(spec).double()


def test_a_shared_parameter_is_one_tensor_with_one_gradient_from_both_layers() -> None:
    spec = network_of(TIED, (3,))
    net = loaded(spec)
    x = torch.randn(4, 3, dtype=torch.float64)

    net(x).square().sum().backward()

    weight, bias_a, bias_b = (p.detach().clone().requires_grad_() for p in net.parameters())
    ((x @ weight.T + bias_a).tanh() @ weight.T + bias_b).square().sum().backward()
    names = [name for name, _ in net.named_parameters()]
    assert names == ["a.weight", "a.bias", "b.bias"] == [each.name for each in spec.parameters]
    assert net.get_parameter("a.weight") is net.get_parameter("b.weight")
    for ours, theirs in zip(net.parameters(), (weight, bias_a, bias_b), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert spec.num_parameters == 9 + 3 + 3


def test_it_stays_shared_in_other_precisions_and_when_weights_are_loaded() -> None:
    spec = network_of(TIED, (3,))
    net = network(spec, Draws(1), device=torch.device("cpu"), dtype=torch.float64)
    saved = {name: tensor.clone() + 1 for name, tensor in net.state_dict().items()}

    net.load_state_dict(saved)

    assert list(saved) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert net.get_parameter("a.weight") is net.get_parameter("b.weight")
    assert torch.equal(net.get_parameter("b.weight"), saved["a.weight"])


def test_layers_of_a_repeat_share_a_parameter_of_its_first_copy() -> None:
    """A full name is that of one parameter, so that all copies share the same one."""
    spec = network_of(REPEATED, (3,))
    net = loaded(spec)
    x = torch.randn(4, 3, dtype=torch.float64)

    def by_hand(weights: Mapping[str, Tensor], value: Tensor) -> Tensor:
        for i in range(3):
            value = value @ weights[f"r.{i}.a.weight"].T + weights[f"r.{i}.a.bias"]
            value = value @ weights["r.0.a.weight"].T + weights[f"r.{i}.b.bias"]
        return value

    weights = dict(net.named_parameters())
    torch.testing.assert_close(net(x), by_hand(weights, x))
    assert [each.name for each in spec.parameters] == list(weights)
    assert "r.1.b.weight" not in weights
    assert spec.num_parameters == sum(tensor.numel() for tensor in weights.values())


def test_a_repeat_shares_a_parameter_of_a_layer_before_it() -> None:
    layers = [
        linear("a"),
        {"kind": "repeat", "name": "r", "times": 3, "layers": [linear("b", weight="a.weight")]},
    ]
    net = loaded(network_of(layers, (3,)))

    assert all(net.get_parameter(f"r.{i}.b.weight") is net[0].weight for i in range(3))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [linear("a", weight="a.weight")],
            "layer a: weight must be a parameter of an earlier layer, got 'a.weight'",
        ),
        (
            [linear("a", weight="b.weight"), linear("b", weight="a.weight")],
            "layer a: weight must be a parameter of an earlier layer, got 'b.weight'",
        ),
        (
            [*TIED, linear("c", weight="b.weight")],
            "layer c: weight must be a parameter of an earlier layer, got 'b.weight', which is "
            "shared itself; use 'a.weight'",
        ),
        (
            [linear("first"), linear("b", weight="frist.weight")],
            "layer b: weight must be a parameter of an earlier layer, got 'frist.weight'; did you "
            "mean 'first.weight'?",
        ),
        (
            [linear("a", 4), linear("b", weight="a.weight")],
            "layer b: weight must have the shape of a.weight, (4, 3), got (3, 4)",
        ),
        (
            [linear("a"), linear("b", kernel="a.weight")],
            "layer b: share must name parameters of the layer (weight, bias), got 'kernel'",
        ),
        (
            [linear("a"), {"kind": "relu", "name": "b", "share": {"weight": "a.weight"}}],
            "layer b: share must name parameters of the layer (it has none), got 'weight'",
        ),
        (
            [
                {"kind": "repeat", "name": "r", "times": 2, "layers": [linear("a")]},
                linear("b", weight="r.1.a.weight"),
            ],
            "layer b: weight must be a parameter of an earlier layer, and of a repeat one of its "
            "first copy, got 'r.1.a.weight'; did you mean 'r.0.a.weight'?",
        ),
        (
            [
                {
                    **{"kind": "repeat", "name": "r", "times": 2},
                    "layers": [
                        {"kind": "repeat", "name": "s", "times": 2, "layers": [linear("a")]}
                    ],
                },
                linear("b", weight="r.1.s.1.a.weight"),
            ],
            "layer b: weight must be a parameter of an earlier layer, and of a repeat one of its "
            "first copy, got 'r.1.s.1.a.weight'; did you mean 'r.0.s.0.a.weight'?",
        ),
        (
            [
                {"kind": "sequential", "name": "s", "layers": [PLAIN, {"kind": "relu"}]},
                linear("b", weight="s.1.weight"),
            ],
            "layer b: weight must be a parameter of an earlier layer, got 's.1.weight'; did you "
            "mean 's.0.weight'?",
        ),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_what_cannot_be_shared_is_refused(layers: list[Json], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        network_of(layers, (3,)).check_shared()

    assert str(caught.value) == message


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_training_updates_it_once(optimizer: str) -> None:
    tied = [linear("a", 64), linear("b", 64, weight="a.weight")]
    layers = [{"kind": "flatten"}, *tied, linear("fc", 10)]
    model = {"kind": "sequential", "layers": layers}
    run = start(model=model, optimizer={"kind": optimizer, "lr": 0.01})
    steps(run)

    assert run.model.get_parameter("a.weight") is run.model.get_parameter("b.weight")
    assert not [
        name for slot in run.optimizer.named_slots().values() for name in slot if "b.w" in name
    ]


def test_all_parameters_of_a_transformer_layer_can_be_shared() -> None:
    """The layers of ALBERT are one layer, repeated."""
    layer = {"kind": "transformer_encoder_layer", "nhead": 1, "dim_feedforward": 4}
    spec = network_of([{**layer, "name": "a"}], TensorSpec((3, 4), SEQUENCE))
    share = {name: f"a.{name}" for name in (each.name[2:] for each in spec.parameters)}

    both = network_of(
        [{**layer, "name": "a"}, {**layer, "name": "b", "share": share}],
        TensorSpec((3, 4), SEQUENCE),
    )

    assert len(share) == 12
    assert both.num_parameters == spec.num_parameters


def test_a_layer_shares_a_limited_number_of_parameters() -> None:
    share = {f"p{i}": "a.weight" for i in range(65)}

    with pytest.raises(SpecError, match="share must have at most 64 names, got 65"):
        Linear.parse({**linear("b"), "share": share})
