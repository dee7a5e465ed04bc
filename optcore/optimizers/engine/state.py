"""
The state for a parameter group: the group's parameters with their slots and update counts.

`allocate` makes a state and `move` copies it to other memory. The other functions read and write a
state by name, for checkpoints, or in torch's format, for ``load_state_dict``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

from optcore.optimizers.engine.flat import MASTER, FlatState, Segment, Spans
from optcore.optimizers.engine.group_update import GroupUpdate
from optcore.optimizers.engine.per_tensor import PerTensorState
from optcore.optimizers.rules.rule import Numbers

NO_SLOTS = frozenset({"step", "mu_product", "mu"})
"""Entries in torch's state that are not slots, unless the rule has a slot with that name. They are
computed from the update count here."""
RESERVED = frozenset({"step", MASTER})
"""Entries in the state of every optimizer; a rule's slots must have other names."""


class GroupState(Protocol):
    """
    Parameters of one dtype and device with their slots: `FlatState` or `PerTensorState`.

    Attributes:
        segments: the parameters.
        t: for each parameter, the number of updates applied to it.
    """

    segments: list[Segment]
    t: list[int]

    def slot_views(self, i: int) -> dict[str, Tensor]:
        """Return slot name -> slot for parameter *i*, each slot in its own shape."""

    def updates(self) -> list[tuple[int, Spans]]:
        """Count an update of each parameter that has a gradient; return the (t, spans) to apply."""

    def adopt(self) -> None:
        """Make the parameters views of this state's memory again."""

    def release(self) -> None:
        """Give the parameters memory of their own."""

    def is_elsewhere(self) -> bool:
        """Return whether any parameter has been moved since `adopt`."""

    def fits(self) -> bool:
        """Return whether every parameter has the dtype, device and layout that `adopt` needs."""


def allocate(
    update: GroupUpdate, named: Sequence[tuple[str, Tensor]], numbers: Numbers
) -> list[GroupState]:
    """Return new states for the (name, parameter) pairs *named*, one per dtype and device."""
    # groupby only groups neighbours. The sort is stable, so the order of the model is preserved.
    by_placement = groupby(sorted(named, key=_placement), key=_placement)
    return [_new_state(update, list(pairs), numbers) for _, pairs in by_placement]


def _placement(pair: tuple[str, Tensor]) -> tuple[str, str]:
    return (str(pair[1].dtype), str(pair[1].device))


def _new_state(
    update: GroupUpdate, named: Sequence[tuple[str, Tensor]], numbers: Numbers
) -> GroupState:
    rule = update.rule
    first_values = rule.slots(numbers, update.flags)
    if taken := RESERVED & first_values.keys():
        raise ValueError(f"no slot of {update.kind} may be called {', '.join(sorted(taken))}")
    whose = f"{update.kind} in dialect {update.dialect}"
    of_shape = rule.shapes
    if of_shape is not None or rule.by_rows or update.storage is not None:
        return PerTensorState(
            named,
            first_values,
            shapes=None if of_shape is None else lambda shape: of_shape(shape, numbers),
            takes_sparse=rule.by_rows,
            whose=whose,
            multi_precision=update.multi_precision,
            sparse_ahead=update.sparse_ahead,
            storage=update.storage,
        )
    return FlatState(
        named,
        first_values,
        takes_sparse=update.takes_sparse,
        whose=whose,
        carried=list(rule.carries(0, numbers, update.flags)) if rule.carries else [],
        carried_in=rule.carries_in,
        separately=update.separately,
        multi_precision=update.multi_precision,
        sparse_ahead=update.sparse_ahead,
    )


def move(old: Sequence[GroupState], new: Sequence[GroupState]) -> None:
    """Copy the slots and update counts of every parameter from the states *old* to *new*."""
    # Tensors hash by identity, so a parameter is found even after its memory or dtype has changed.
    known = {
        segment.param: (state.slot_views(i), state.t[i])
        for state in old
        for i, segment in enumerate(state.segments)
    }
    for state in new:
        for i, segment in enumerate(state.segments):
            views, state.t[i] = known[segment.param]
            for slot, view in state.slot_views(i).items():
                # A new dtype may add a float32 copy, which already has the value of the parameter.
                if slot in views:
                    view.copy_(views[slot])


def absorb(state: GroupState, i: int, theirs: Mapping[str, Any], kind: str) -> None:
    """
    Copy *theirs*, torch's state of parameter *i*, into the slots and the count of *state*.

    Raises:
        ValueError: *theirs* comes from an optimizer other than *kind*, or from a parameter with
            another shape.
    """
    segment, views = state.segments[i], state.slot_views(i)
    slots = {k: value for k, value in theirs.items() if k in views or k not in NO_SLOTS}
    if not any(isinstance(value, Tensor) for value in slots.values()):
        # torch's SGD keeps {"momentum_buffer": None} until its first step.
        state.t[i] = int(theirs.get("step", 0))
        return
    if slots.keys() != views.keys():
        raise ValueError(
            f"state of {segment.name} must have the slots of {kind} "
            f"({', '.join(views) or 'none'}), got {', '.join(slots) or 'none'}"
        )
    _check_shapes(segment.name, views, slots)
    # torch's SGD and Muon keep no count. The slots show that a first update was made, and the rules
    # of these optimizers test only whether t is 1.
    state.t[i] = int(theirs.get("step", 1))
    for slot, view in views.items():
        view.copy_(slots[slot])


def named_slots(states: Sequence[GroupState]) -> dict[str, dict[str, Tensor]]:
    """Return slot -> parameter name -> contiguous tensor."""
    slots: dict[str, dict[str, Tensor]] = {}
    for state in states:
        for i, segment in enumerate(state.segments):
            for slot, view in state.slot_views(i).items():
                # contiguous() copies only if the layout differs. Else this is the slot itself,
                # which later updates change.
                slots.setdefault(slot, {})[segment.name] = view.contiguous()
    return slots


def named_counts(states: Sequence[GroupState]) -> dict[str, int]:
    """Return parameter name -> number of updates applied to it."""
    return {
        segment.name: t
        for state in states
        for segment, t in zip(state.segments, state.t, strict=True)
    }


def load_named(
    states: Sequence[GroupState],
    slots: Mapping[str, Mapping[str, Tensor]],
    counts: Mapping[str, int],
) -> None:
    """
    Restore the *slots* and *counts* that `named_slots` and `named_counts` returned.

    Raises:
        ValueError: a slot or a parameter is missing or unknown, or has another shape.
    """
    # Everything is checked before anything is copied, so a refused state changes nothing.
    expected = {(slot, name) for slot, by in named_slots(states).items() for name in by}
    given = {(slot, name) for slot, by in slots.items() for name in by}
    if expected != given or counts.keys() != named_counts(states).keys():
        missing = ", ".join(f"{s}.{n}" for s, n in sorted(expected - given)) or "none"
        extra = ", ".join(f"{s}.{n}" for s, n in sorted(given - expected)) or "none"
        raise ValueError(f"slots must match the optimizer's: missing {missing}; extra {extra}")
    for state in states:
        for i, segment in enumerate(state.segments):
            of_param = {slot: by[segment.name] for slot, by in slots.items() if segment.name in by}
            _check_shapes(segment.name, state.slot_views(i), of_param)
    for state in states:
        for i, segment in enumerate(state.segments):
            state.t[i] = counts[segment.name]
            for slot, view in state.slot_views(i).items():
                view.copy_(slots[slot][segment.name])


def _check_shapes(name: str, views: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
    """Raise ValueError if *slots*, for the parameter *name*, differ in shape from *views*."""
    # Copying would broadcast: one row from another parameter would fill the whole slot.
    for slot, view in views.items():
        if slots[slot].shape != view.shape:
            raise ValueError(
                f"{slot} of {name} must have shape {tuple(view.shape)}, "
                f"got {tuple(slots[slot].shape)}"
            )
