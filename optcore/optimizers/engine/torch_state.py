"""Parameter groups and states in torch's format, with torch's names such as ``betas``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optcore.optimizers.engine.group_update import GroupUpdate
from optcore.optimizers.engine.state import GroupState
from optcore.optimizers.rules.rule import Flags, Numbers, Rule

IMPLEMENTATION = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Entries of torch's groups that choose between implementations of the same math."""
SWITCHES = frozenset({"amsgrad", "maximize", "nesterov", "decoupled_weight_decay"})
"""Entries of torch's groups that change the math; False for a rule that does not support them."""

SAME_MUON = {None, "original"}
"""Values of Muon's ``adjust_lr_fn`` that are equivalent."""


@dataclass(frozen=True)
class _Uncast:
    """Wraps a parameter's state, so that torch's ``load_state_dict`` does not cast the state."""

    state: Any


add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
"""torch's own method without its decorator. The decorator, which disables torch.compile, imports
torch._dynamo, and this import takes 1.3 seconds of CPU time."""


@contextmanager
def uncast(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """
    Prevent *optimizer*, within this context, from casting the states that it loads.

    torch casts a state to the dtype of its parameter, which may have fewer digits than the slots.
    States that are loaded within the context are wrapped, and `as_given` unwraps them.
    """
    # This hook is registered last, so users' hooks get the states unwrapped.
    handle = optimizer.register_load_state_dict_pre_hook(_wrapped)
    try:
        yield
    finally:
        handle.remove()


def _wrapped(_: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    return {**state_dict, "state": {key: _Uncast(of) for key, of in state_dict["state"].items()}}


def as_given(state: Any) -> Any:  # noqa: ANN401
    """Return a parameter's *state* as it was given to ``load_state_dict``, without its wrapper."""
    return state.state if isinstance(state, _Uncast) else state


Group = Mapping[str, Any]
"""A parameter group: the name of each hyperparameter or option, and its value."""


def groups_to_torch(
    groups: Sequence[Group], updates: Sequence[GroupUpdate]
) -> list[dict[str, Any]]:
    """Return *groups* as torch's own optimizers for the same rules would have them."""
    pairs = zip(groups, updates, strict=True)
    return [_to_torch(group, update.rule, update.flags) for group, update in pairs]


def groups_from_torch(
    theirs: Sequence[Group], ours: Sequence[Group], updates: Sequence[GroupUpdate]
) -> list[dict[str, Any]]:
    """
    Return each group of *ours* with the hyperparameters of the group at the same index in *theirs*.

    *theirs* are groups in torch's format. If one list is longer, its last groups are left out.

    Raises:
        ValueError: a group of *theirs* has an option that the rule does not support.
    """
    found = zip(theirs, ours, updates, strict=False)
    return [_from_torch(group, own, update.rule, update.flags) for group, own, update in found]


def _to_torch(group: Group, rule: Rule, flags: Flags) -> dict[str, Any]:
    theirs = dict(group)
    for name, ours in rule.torch_hyperparameters.items():
        values = tuple(theirs.pop(our) for our in ours)
        theirs[name] = values if len(values) > 1 else values[0]
    if flags.get("eps1_of_dtype"):  # torch's Adafactor: None selects the epsilon of the dtype
        theirs["eps"] = (None, group["eps2"])
    return {**theirs, **_fixed(rule, flags)}


def _from_torch(theirs: Group, ours: Group, rule: Rule, flags: Flags) -> dict[str, Any]:
    group = {name: value for name, value in theirs.items() if name not in IMPLEMENTATION}
    fixed = _fixed(rule, flags)
    for name in (fixed.keys() | SWITCHES) & group.keys():
        value, here = group.pop(name), fixed.get(name, False)
        if value != here and {value, here} != SAME_MUON:
            raise ValueError(f"{name} must be {here} for this optimizer, got {value}")
    for name, numbers in rule.torch_hyperparameters.items():
        if name in group:
            values = group.pop(name)
            values = values if len(numbers) > 1 else [values]
            # torch's Adafactor has (None, eps2) by default, and 0 stands for its None here.
            values = [0.0 if value is None else value for value in values]
            group.update(zip(numbers, values, strict=True))
    return {**ours, **group}


def states_to_torch(
    update: GroupUpdate, states: Sequence[GroupState], numbers: Numbers
) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """Yield (parameter, copy of its state in torch's format) for each parameter updated so far."""
    for state in states:
        for i, (segment, t) in enumerate(zip(state.segments, state.t, strict=True)):
            if t == 0:
                continue  # in torch the state of a parameter begins with its first update
            # A clone, since torch.save of a view would write the whole buffer.
            found: dict[str, Any] = {
                slot: view.clone() for slot, view in state.slot_views(i).items()
            }
            found |= _besides_slots(t, update.rule, numbers, update.flags)
            if found:
                yield segment.param, found


def _besides_slots(t: int, rule: Rule, numbers: Numbers, flags: Flags) -> dict[str, Tensor | int]:
    """Return what torch keeps, besides slots, in a parameter's state after update *t*."""
    state: dict[str, Tensor | int] = {
        name: torch.tensor(value) for name, value in rule.torch_state(t, numbers, flags).items()
    }
    if rule.counts_steps:
        state["step"] = t if rule.whole_steps else torch.tensor(float(t))
    return state


def _fixed(rule: Rule, flags: Flags) -> dict[str, Any]:
    return {**rule.torch_constants, **{name: flags[name] for name in rule.torch_flags}}
