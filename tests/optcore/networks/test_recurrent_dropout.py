"""The dropout between layers of gru and lstm, beside torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from api.jobs.plan import plan_of
from optcore.networks.build import build
from optcore.networks.draws import Draws, number
from optcore.spec.errors import SpecError
from optcore.spec.layers.base import SEQUENCE, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.networks.network import Network
from optserve.contract.requests.job import JobSpec

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)
TORCHS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
LENGTH, FEATURES, HIDDEN = 5, 4, 3

pytestmark = pytest.mark.parametrize("kind", TORCHS)


def network(kind: str, **fields: Any) -> Network:
    spec = {"kind": kind, "name": "own", "hidden_size": HIDDEN, "num_layers": 3, **fields}
    given = TensorSpec((LENGTH, FEATURES), SEQUENCE)
    return Network((PARSER.validate_python({"dropout": 0.5, **spec}),), given)


def inputs(batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(batch, LENGTH, FEATURES, generator=generator).double()


@pytest.mark.parametrize("fields", [{}, {"bidirectional": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_are_torchs(
    kind: str, fields: dict[str, Any], training: bool
) -> None:
    """With masks from torch's generator, which both draw in the same order for one example."""
    options = {"num_layers": 3, "batch_first": True, "dropout": 0.5, **fields}
    theirs = TORCHS[kind](FEATURES, HIDDEN, **options).double().train(training)
    ours = build(network(kind, **fields)).double().train(training)
    ours[0].load_state_dict(theirs.state_dict())
    found = []
    for module in (ours, theirs):
        torch.manual_seed(3)
        output = module(inputs(1))
        output = output[0] if module is theirs else output
        output.sin().sum().backward()
        found.append([output, *(each.grad for each in module.parameters())])

    torch.testing.assert_close(found[0], found[1])


def test_masks_depend_on_seed_step_and_layer_alone(kind: str) -> None:
    draws = Draws(1)
    net = network(kind)
    module = build(net, draws).double().train()
    outputs: list[Tensor] = []
    for step in (0, 1, 0):
        draws.begin(step, 0)
        torch.manual_seed(step + len(outputs))
        outputs.append(module(inputs(2)))

    assert net.draws
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def test_each_layer_but_the_last_has_a_mask_of_its_own(kind: str) -> None:
    draws = Draws(1)
    module = build(network(kind), draws).double().train()
    given = inputs(2)
    expected = given
    for i in range(3):
        alone = TORCHS[kind](FEATURES if i == 0 else HIDDEN, HIDDEN, batch_first=True).double()
        own: dict[str, Tensor] = {
            f"{n}_l0": module.get_parameter(f"own.{n}_l{i}")
            for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        expected = torch.func.functional_call(alone, own, expected)[0]
        if i < 2:
            key = number(f"own.dropout_l{i}")
            mask = draws.mask(key, expected.numel(), 0.5, value=2.0, like=expected)
            expected = expected * mask.view_as(expected)

    torch.testing.assert_close(module(given), expected)


def test_it_is_not_drawn_with_one_layer_or_without_a_probability(kind: str) -> None:
    assert not network(kind, num_layers=1).draws
    assert not network(kind, dropout=0.0).draws


def test_one_layer_has_no_dropout_and_a_warning_says_so(kind: str) -> None:
    layers = [
        {"kind": "embedding", "num_embeddings": 256, "embedding_dim": 2},
        {"kind": kind, "hidden_size": 2, "dropout": 0.5},
        {"kind": "linear", "out_features": 256},
    ]
    job = {
        "model": {"kind": "sequential", "layers": layers},
        "dataset": {"kind": "text", "file": "a.txt"},
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "training": {"steps": 5},
    }

    warnings = plan_of(JobSpec.parse(job)).warnings

    text = "layer 1: dropout is not used, since it is between layers, and num_layers is 1"
    assert text in warnings
    layers[1]["num_layers"] = 2
    assert text not in plan_of(JobSpec.parse(job)).warnings
    layers[1]["dropout"] = 1.0
    with pytest.raises(SpecError, match=r"dropout must be below 1, got 1\.0"):
        JobSpec.parse(job)
