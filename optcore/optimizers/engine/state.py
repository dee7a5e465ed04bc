"""
The states of a parameter group: parameters with their slots and update counts.

A group has one state for each dtype and device of its parameters. `allocate` makes the states, and
`move` copies them to other memory. Most other functions save or load states: by name, for
checkpoints, or in torch's format, for ``load_state_dict``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

from optcore.optimizers.engine.group_update import GroupUpdate, carried_names
from optcore.optimizers.engine.memory.carried import CarriedNumbers
from optcore.optimizers.engine.memory.flat import MASTER, FlatState
from optcore.optimizers.engine.memory.per_tensor import PerTensorState
from optcore.optimizers.engine.memory.segments import Segment, Spans
from optcore.optimizers.rules.rule import Numbers, Rule

NO_SLOTS = frozenset({"step", "mu_product", "mu"})
"""Entries in torch's state that are not slots, unless the rule has a slot with that name."""
RESERVED = frozenset({"step", MASTER})
"""Entries in the state of every optimizer; a rule's slots must have other names."""


class GroupState(Protocol):
    """
    Parameters of one dtype and device with their slots: `FlatState` or `PerTensorState`.

    Attributes:
        segments: the parameters.
        t: for each parameter, the number of updates applied to it.
        carried: the numbers that each update of a parameter computes for the next, if any.
    """

    segments: list[Segment]
    t: list[int]
    carried: CarriedNumbers | None

    def slot_views(self, i: int) -> dict[str, Tensor]:
        """Return slot name -> slot for parameter *i*, each slot in its own shape."""

    def updates(self) -> list[tuple[int, Spans]]:
        """Count an update of each parameter that has a gradient; return the (t, spans) to apply."""

    def align(self, aligned: bool) -> None:
        """Choose whether updated ranges end on 128-byte boundaries. In a new state they do."""

    def adopt(self) -> None:
        """Make the parameters views of this state's memory again."""

    def release(self) -> None:
        """Give the parameters memory of their own."""

    def is_elsewhere(self) -> bool:
        """Return whether any parameter was moved, or changed its dtype, since `adopt`."""

    def fits(self) -> bool:
        """Return whether every parameter has the dtype, device and layout that `adopt` needs."""


def allocate(
    update: GroupUpdate,
    named: Sequence[tuple[str, Tensor]],
    numbers: Numbers,
    *,
    aligned: bool = True,
) -> list[GroupState]:
    """Return new states for the (name, parameter) pairs *named*, one per dtype and device."""
    # groupby only groups neighbours. The sort is stable, so the order of the model is preserved.
    by_placement = groupby(sorted(named, key=_placement), key=_placement)
    states = [_new_state(update, list(pairs), numbers) for _, pairs in by_placement]
    if not aligned:
        for state in states:
            state.align(False)
    return states


def _placement(pair: tuple[str, Tensor]) -> tuple[str, str]:
    return (str(pair[1].dtype), str(pair[1].device))


def _new_state(
    update: GroupUpdate, named: Sequence[tuple[str, Tensor]], numbers: Numbers
) -> GroupState:
    rule = update.rule
    first_values = rule.slots(numbers, update.flags)
    if taken := RESERVED & first_values.keys():
        raise ValueError(
            f"{update.kind} must not name a slot {', '.join(sorted(taken))}, which is reserved"
        )
    whose = f"{update.kind} in dialect {update.dialect}"
    carried = None
    if names := carried_names(rule, numbers, update.flags):
        carried = CarriedNumbers(
            names, len(named), rule.carries_in, may_be_implied=rule.implied is not None
        )
    of_shape = rule.shapes
    if of_shape is not None or rule.by_rows or update.storage is not None:
        return PerTensorState(
            named,
            first_values,
            shapes=None if of_shape is None else lambda shape: of_shape(shape, numbers),
            takes_sparse=rule.by_rows,
            whose=whose,
            carried=carried,
            multi_precision=update.multi_precision,
            sparse_ahead=update.sparse_ahead,
            storage=update.storage,
            together=rule.together is not None and not update.separately,
        )
    return FlatState(
        named,
        first_values,
        takes_sparse=update.takes_sparse,
        whose=whose,
        carried=carried,
        separately=update.separately,
        elementwise=update.elementwise,
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
        for before in old:
            if state.carried is not None and before.carried is not None:
                state.carried.follow(before.carried)
        for i, segment in enumerate(state.segments):
            views, state.t[i] = known[segment.param]
            for slot, view in state.slot_views(i).items():
                # A new dtype may add a float32 copy, which already has the value of the parameter.
                if slot in views:
                    view.copy_(views[slot])


def absorb(state: GroupState, i: int, theirs: Mapping[str, Any], kind: str) -> None:
    """
    Copy *theirs*, a state in torch's format, to the slots and the count of parameter *i*.

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
    carried = state.carried
    if carried is not None and carried.may_be_implied:
        # torch's NAdam keeps one of the two numbers of Paddle's.
        missing = [name for name in carried.names if name not in slots]
        carried.implied &= len(missing) == len(carried.names)
        if missing:
            carried.missing[i] = missing
            views = {slot: view for slot, view in views.items() if slot not in missing}
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


def named_slots(
    states: Sequence[GroupState], *, implied: bool = False
) -> dict[str, dict[str, Tensor]]:
    """
    Return slot -> parameter name -> contiguous tensor.

    Carried numbers that can be computed from the counts are included only if *implied* is true.
    """
    slots: dict[str, dict[str, Tensor]] = {}
    for state in states:
        for i, segment in enumerate(state.segments):
            views = state.slot_views(i) if implied else _saved(state, i)
            for slot, view in views.items():
                # contiguous() copies only if the layout differs. Else this is the slot itself,
                # which later updates change.
                slots.setdefault(slot, {})[segment.name] = view.contiguous()
    return slots


def _saved(state: GroupState, i: int) -> dict[str, Tensor]:
    """Return the slots and carried numbers of parameter *i* that a checkpoint stores."""
    implied = state.carried is not None and state.carried.implied
    return _without_carried(state, i) if implied else state.slot_views(i)


def _without_carried(state: GroupState, i: int) -> dict[str, Tensor]:
    names = () if state.carried is None else state.carried.names
    return {slot: view for slot, view in state.slot_views(i).items() if slot not in names}


def evaluated(
    rule: Rule, states: Sequence[GroupState], numbers: Numbers
) -> Iterator[tuple[Tensor, Tensor]]:
    """
    Yield (parameter, value to use in evaluation) for each parameter that has been updated.

    Yield nothing if *rule* uses the parameters themselves in evaluation.
    """
    for state in states if rule.evaluated is not None else ():
        assert rule.evaluated is not None
        for i, (segment, t) in enumerate(zip(state.segments, state.t, strict=True)):
            if t:  # before its first update, asgd's average is 0
                slots = _without_carried(state, i)
                param = slots.pop(MASTER, segment.param)  # in the slots' dtype
                yield segment.param, rule.evaluated(param, *slots.values(), **numbers)


def imply(update: GroupUpdate, states: Sequence[GroupState], numbers: Numbers) -> None:
    """
    Compute the carried numbers (`Rule.carries`) that a loaded state did not have.

    Releases up to 0.2.0 saved no carried numbers. Later releases save none while the numbers follow
    from the counts of updates.

    Args:
        update: the update of the group.
        states: the states of the group, already loaded.
        numbers: the hyperparameters in the last update.
    """
    for state in states:
        carried = state.carried
        if carried is None or update.rule.implied is None:
            continue
        for i, names in carried.missing.items():
            implied = update.rule.implied(state.t[i], numbers, update.flags)
            carried.write(i, i + 1, {name: implied[name] for name in names})
        carried.missing.clear()
        carried.note(tuple(numbers[name] for name in update.rule.carries_from))


def note_last(update: GroupUpdate, states: Sequence[GroupState], numbers: Numbers) -> None:
    """
    Mark carried numbers to be saved if the last update had other hyperparameters than *numbers*.

    In that case, `imply` could not compute the carried numbers from *numbers*. The hyperparameters
    differ if a schedule depends on a metric, since such a schedule knows only its next value, or if
    the user has set the lr of a group.

    Args:
        update: the update of the group.
        states: the states of the group.
        numbers: the hyperparameters that the schedules have for the last update.
    """
    for state in states:
        if state.carried is not None:
            state.carried.note_last(tuple(numbers[name] for name in update.rule.carries_from))


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
    expected = {
        (slot, segment.name)
        for state in states
        for i, segment in enumerate(state.segments)
        for slot in _loaded(state, i, slots)
    }
    given = {(slot, name) for slot, by in slots.items() for name in by}
    if expected != given or counts.keys() != named_counts(states).keys():
        missing = ", ".join(f"{s}.{n}" for s, n in sorted(expected - given)) or "none"
        extra = ", ".join(f"{s}.{n}" for s, n in sorted(given - expected)) or "none"
        wrong = f"missing {missing}; extra {extra}"
        raise ValueError(f"slots must match the slots of the optimizer: {wrong}")
    for state in states:
        for i, segment in enumerate(state.segments):
            of_param = {slot: by[segment.name] for slot, by in slots.items() if segment.name in by}
            _check_shapes(segment.name, _loaded(state, i, slots), of_param)
    for state in states:
        for i, segment in enumerate(state.segments):
            state.t[i] = counts[segment.name]
            for slot, view in _loaded(state, i, slots).items():
                view.copy_(slots[slot][segment.name])
        carried = state.carried
        if carried is not None and carried.may_be_implied:
            carried.implied = _lacks_carried(state, slots)
            lacking = range(len(state.t)) if carried.implied else range(0)
            carried.missing = dict.fromkeys(lacking, carried.names)


def _lacks_carried(state: GroupState, slots: Mapping[str, Mapping[str, Tensor]]) -> bool:
    """Return whether *slots* have no carried numbers, and *state* can compute them from counts."""
    carried, name = state.carried, state.segments[0].name
    return (
        carried is not None
        and carried.may_be_implied
        and name not in slots.get(carried.names[0], {})
    )


def _loaded(
    state: GroupState, i: int, slots: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the slots of parameter *i* into which the saved *slots* are copied."""
    return _without_carried(state, i) if _lacks_carried(state, slots) else state.slot_views(i)


def _check_shapes(name: str, views: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
    """Raise ValueError if *slots* of the parameter *name* have other shapes than *views*."""
    # Copying would broadcast: one row from another parameter would fill the whole slot.
    for slot, view in views.items():
        if slots[slot].shape != view.shape:
            raise ValueError(
                f"{slot} of {name} must have shape {tuple(view.shape)}, "
                f"got {tuple(slots[slot].shape)}"
            )
