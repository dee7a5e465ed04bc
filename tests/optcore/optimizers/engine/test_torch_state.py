"""States in torch's format: torch's optimizers and ours load each other's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import optcore
from tests.support.optcore.updates.optimizer_specs import engines
from tests.support.optcore.updates.optimizer_steps import network, train, weights

CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "adamax": (torch.optim.Adamax, {}),
    "nadam": (torch.optim.NAdam, {}),
    "radam": (torch.optim.RAdam, {}),
    "rprop": (torch.optim.Rprop, {}),
    "asgd": (torch.optim.ASGD, {}),
    "adafactor": (torch.optim.Adafactor, {}),
    "muon": (torch.optim.Muon, {}),
}
"""torch's class for each of our names, and its arguments."""


def matrix_network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(300, 256, bias=False), nn.Tanh(), nn.Linear(256, 9, bias=False), nn.Tanh()
    ).double()


@pytest.mark.parametrize(("kind", "engine"), [pair for pair in engines() if pair[0] in CLASSES])
def test_states_are_exchanged_and_trajectories_go_on(kind: str, engine: str) -> None:
    make, arguments = CLASSES[kind]
    spec = {"kind": kind, "engine": engine}
    ours, theirs = matrix_network(), matrix_network()
    mine = optcore.make_optimizer(ours.named_parameters(), {**spec, "lr": 0.01})
    torchs = make(theirs.parameters(), lr=0.01, **arguments)
    train(ours, mine, range(4))
    train(theirs, torchs, range(4))

    swapped_mine = optcore.make_optimizer(theirs.named_parameters(), {**spec, "lr": 0.5})
    swapped_mine.load_state_dict(torchs.state_dict())
    swapped_torchs = make(ours.parameters(), lr=0.5, **arguments)
    swapped_torchs.load_state_dict(mine.state_dict())
    train(theirs, swapped_mine, range(4, 8))
    train(ours, swapped_torchs, range(4, 8))

    rtol = 1e-3 if kind == "muon" else 1e-9  # whose matrices are multiplied in bfloat16
    for a, b in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=1e-11)


def test_asgd_steps_by_the_lr_of_the_update_before_and_saves_it() -> None:
    """Its eta is state there: computed at the end of an update, with the lr of then."""
    ours, theirs = matrix_network(), matrix_network()
    mine = optcore.make_optimizer(ours.named_parameters(), {"kind": "asgd", "lambd": 0.5, "t0": 3})
    torchs: torch.optim.Optimizer = torch.optim.ASGD(theirs.parameters(), lambd=0.5, t0=3)
    for step in range(8):
        if step == 4:  # on from each other's state
            mine_state, torchs_state = mine.state_dict(), torchs.state_dict()
            assert mine_state["state"][0]["eta"] == torchs_state["state"][0]["eta"]
            mine.load_state_dict(torchs_state)
            torchs.load_state_dict(mine_state)
        for model, optimizer in ((ours, mine), (theirs, torchs)):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - 0.1 * step)
            train(model, optimizer, range(step, step + 1))

    for a, b in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_lazy_adam_and_torchs_sparse_adam_exchange_states() -> None:
    ours, theirs = (nn.Embedding(6, 3, sparse=True).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    spec = {"kind": "lazy_adam", "lr": 0.01}
    mine = optcore.make_optimizer(ours.named_parameters(), spec)
    torchs: torch.optim.Optimizer = torch.optim.SparseAdam(theirs.parameters(), lr=0.01)

    def look_up(steps: range) -> None:
        for step in steps:
            for model, optimizer in ((ours, mine), (theirs, torchs)):
                optimizer.zero_grad()
                model(torch.tensor([step % 6, 1])).square().sum().backward()
                optimizer.step()

    look_up(range(4))
    mine_state, torchs_state = mine.state_dict(), torchs.state_dict()
    mine.load_state_dict(torchs_state)
    torchs.load_state_dict(mine_state)
    look_up(range(4, 9))

    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-9, atol=1e-11)


def test_a_state_of_another_optimizer_is_refused() -> None:
    model = network(torch.float64)
    adam = optcore.make_optimizer(model.named_parameters(), {"kind": "adam"})
    train(model, adam, range(1))
    rmsprop = optcore.make_optimizer(model.named_parameters(), {"kind": "rmsprop"})

    with pytest.raises(
        ValueError, match=r"must have the slots of rmsprop \(square_avg\), got exp_avg, exp_avg_sq"
    ):
        rmsprop.load_state_dict(
            {**adam.state_dict(), "param_groups": rmsprop.state_dict()["param_groups"]}
        )


def test_a_switch_of_torch_that_the_rule_does_not_know_is_refused() -> None:
    model = network(torch.float64)
    amsgrad = torch.optim.Adam(model.parameters(), amsgrad=True)

    with pytest.raises(ValueError, match="amsgrad must be False for this optimizer, got True"):
        optcore.make_optimizer(model.named_parameters(), {"kind": "adam"}).load_state_dict(
            amsgrad.state_dict()
        )


@pytest.mark.parametrize("kind", ["adam", "asgd", "lazy_adam"])
def test_a_state_in_the_form_of_torch_has_all_digits_of_float32_slots(kind: str) -> None:
    """Torch casts states to the dtype of the parameters, which has fewer digits."""
    spec = {"kind": kind, "multi_precision": True}
    model = network(torch.bfloat16)
    optimizer = optcore.make_optimizer(model.named_parameters(), spec)
    train(model, optimizer, range(3))
    again = optcore.make_optimizer(copy.deepcopy(model).named_parameters(), spec)
    seen = list[Any]()
    again.register_load_state_dict_pre_hook(lambda _, given: seen.append(given["state"]))

    again.load_state_dict(optimizer.state_dict())

    expected, found = optimizer.named_slots(), again.named_slots()
    assert found.keys() == expected.keys()
    for slot, by_name in expected.items():
        for name, value in by_name.items():
            assert found[slot][name].dtype == value.dtype == torch.float32
            assert torch.equal(found[slot][name], value), (slot, name)
    assert isinstance(seen[0][0], dict)  # what a hook of a user gets is what was given
