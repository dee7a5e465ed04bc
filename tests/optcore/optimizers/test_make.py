"""make_optimizer: what it takes, what it refuses, and how numbers reach the rules."""

from __future__ import annotations

from inspect import signature

import pytest
import torch
from torch import nn

import optcore
from optcore.optimizers.engine.group_update import compile_group
from optcore.optimizers.engine.memory.flat import FlatState
from optcore.optimizers.rules.catalogue import RULES
from optcore.spec.errors import SpecError
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from tests.support.optcore.updates.optimizer_steps import network, same_bits, weights


def test_every_optimizer_but_lbfgs_has_a_rule() -> None:
    assert set(OPTIMIZERS) - set(RULES) == {"lbfgs"}
    assert set(RULES) < set(OPTIMIZERS)


def test_the_first_adam_step_moves_every_coordinate_by_lr() -> None:
    param = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    param.grad = torch.tensor([0.5, -40.0, 0.0])

    optcore.make_optimizer([("w", param)], {"kind": "adam", "lr": 0.1}).step()

    torch.testing.assert_close(param, torch.tensor([0.9, 2.1, 3.0]))


def test_two_momentum_steps_equal_those_by_hand() -> None:
    param = torch.tensor([1.0], requires_grad=True)
    optimizer = optcore.make_optimizer(
        [("w", param)], {"kind": "momentum", "lr": 0.1, "momentum": 0.5}
    )

    for _ in range(2):
        param.grad = torch.tensor([2.0])
        optimizer.step()

    torch.testing.assert_close(param, torch.tensor([1.0 - 0.1 * 2.0 - 0.1 * (0.5 * 2.0 + 2.0)]))


def test_the_parameters_become_views_of_one_buffer_and_keep_their_values() -> None:
    model = network(torch.float64)
    before = weights(model)

    optimizer = optcore.make_optimizer(model.named_parameters(), {"kind": "adam"})

    (state,) = optimizer.states()
    assert isinstance(state, FlatState)
    storage = state.params.untyped_storage().data_ptr()
    assert {param.untyped_storage().data_ptr() for param in model.parameters()} == {storage}
    assert all(
        param.data_ptr() % 128 == state.params.data_ptr() % 128 for param in model.parameters()
    )
    assert same_bits(weights(model), before)


def test_tied_weights_are_one_parameter() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight

    optimizer = optcore.make_optimizer(
        model.named_parameters(remove_duplicate=False), {"kind": "sgd"}
    )

    assert optimizer.param_groups[0]["param_names"] == ["0.weight", "0.bias", "1.bias"]


def test_two_parameters_in_one_memory_are_refused() -> None:
    data = torch.zeros(4)
    pair = [("a", nn.Parameter(data)), ("b", nn.Parameter(data))]

    with pytest.raises(ValueError, match="b must not share memory with a; to tie weights, use one"):
        optcore.make_optimizer(pair, {"kind": "sgd"})


def test_nothing_to_optimize_is_refused() -> None:
    with pytest.raises(
        ValueError, match="named_parameters must have a parameter that requires a gradient"
    ):
        optcore.make_optimizer([("w", torch.zeros(3))], {"kind": "sgd"})


@pytest.mark.parametrize("lr", [0.0, -1e-3, float("nan")])
def test_rejects_a_learning_rate_that_is_not_positive(lr: float) -> None:
    with pytest.raises(SpecError, match=f"lr must be positive, got {lr}"):
        optcore.make_optimizer(
            [("w", torch.zeros(1, requires_grad=True))], {"kind": "adam", "lr": lr}
        )


@pytest.mark.parametrize("kind", RULES)
def test_a_specs_fields_are_its_rules_arguments(kind: str) -> None:
    """Nothing a client may say is dropped on the way to the math, and nothing is made up."""
    spec = OPTIMIZERS[kind].model_validate({"kind": kind, "lr": 0.1})
    update = compile_group(spec, single_precision=True)
    asked = _Recorder({**spec.hyperparameters(), "grad_scale": 1.0})

    carried: dict[str, float] = {}
    if update.rule.carries is not None:
        asked.update(update.rule.carries(0, asked, update.flags))
        carried = update.rule.carries(2, asked, update.flags)
    slots = update.rule.slots(asked, update.flags)
    asked.update(carried)
    scalars = update.rule.scalars(2, asked, update.flags) | carried
    if update.rule.masks is not None:
        scalars = {**scalars, "mask_scale": 1.0}
    if update.rule.ratios is not None:
        scalars = scalars | update.rule.ratios([1.0, 1.0], asked, update.flags)

    taken = signature(update.rule.update).parameters
    arguments = {name for name, p in taken.items() if p.kind is p.KEYWORD_ONLY} - set(slots)
    given = spec.hyperparameters().keys() | update.flags.keys() | scalars.keys()
    if update.rule.shapes is not None:
        given |= {"in_blocks"}
    assert arguments <= given
    unused = given - arguments - asked.seen
    assert not unused & spec.hyperparameters().keys() & spec.model_dump().keys()


class _Recorder(dict[str, float]):
    """Numbers that remember which of them were asked for."""

    def __init__(self, numbers: dict[str, float]) -> None:
        super().__init__(numbers)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> float:
        self.seen.add(name)
        return super().__getitem__(name)
