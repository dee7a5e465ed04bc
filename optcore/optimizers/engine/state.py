"""Where parameters live with their slots and counters, and how those get in and out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from torch import Tensor

from optcore.optimizers.engine.group_update import Law, Store
from optcore.optimizers.rules.rule import Numbers

NO_SLOTS = frozenset({"step", "mu_product", "mu"})
"""What torch keeps of a parameter besides slots; here it follows from the count of updates."""


def homes_of(law: Law, named: Sequence[tuple[str, Tensor]], numbers: Numbers) -> list[Store]:
    """Return new homes for the parameters *named* of one group, one for each dtype and device."""

    def key(pair: tuple[str, Tensor]) -> tuple[str, str]:
        return (str(pair[1].dtype), str(pair[1].device))

    return [
        law.store(list(pairs), numbers) for _, pairs in groupby(sorted(named, key=key), key=key)
    ]


def move(old: Sequence[Store], new: Sequence[Store]) -> None:
    """Take the slots and counters of the same parameters from *old* homes to *new* ones."""
    states = {
        segment.param: (store.slot_views(i), store.t[i])
        for store in old
        for i, segment in enumerate(store.segments)
    }
    for store in new:
        for i, segment in enumerate(store.segments):
            views, store.t[i] = states[segment.param]
            for slot, view in store.slot_views(i).items():
                if slot in views:
                    view.copy_(views[slot])


def absorb(store: Store, i: int, state: Mapping[str, Any], kind: str) -> None:
    """
    Copy the *state*, in torch's form, of parameter *i* of *store* into its slots.

    Raises:
        ValueError: the state is of another optimizer than *kind*.
    """
    segment, views = store.segments[i], store.slot_views(i)
    slots = {name: value for name, value in state.items() if name not in NO_SLOTS}
    if not any(isinstance(value, Tensor) for value in slots.values()):
        # torch's SGD keeps {"momentum_buffer": None} until its first step.
        store.t[i] = int(state.get("step", 0))
        return
    if slots.keys() != views.keys():
        raise ValueError(
            f"state of {segment.name} must have the slots of {kind} "
            f"({', '.join(views) or 'none'}), got {', '.join(slots) or 'none'}"
        )
    store.t[i] = int(state.get("step", 1))
    for slot, view in views.items():
        view.copy_(slots[slot])


def named_slots(stores: Sequence[Store]) -> dict[str, dict[str, Tensor]]:
    """Return slot -> parameter name -> tensor, contiguous."""
    slots: dict[str, dict[str, Tensor]] = {}
    for store in stores:
        for i, segment in enumerate(store.segments):
            for slot, view in store.slot_views(i).items():
                slots.setdefault(slot, {})[segment.name] = view.contiguous()
    return slots


def named_counts(stores: Sequence[Store]) -> dict[str, int]:
    """Return parameter name -> number of updates applied to it."""
    return {
        segment.name: t
        for store in stores
        for segment, t in zip(store.segments, store.t, strict=True)
    }


def load_named(
    stores: Sequence[Store],
    slots: Mapping[str, Mapping[str, Tensor]],
    counts: Mapping[str, int],
) -> None:
    """
    Take over what `named_slots` and `named_counts` returned.

    Raises:
        ValueError: a slot or a parameter is missing, or there is one too many.
    """
    expected = {(slot, name) for slot, by in named_slots(stores).items() for name in by}
    given = {(slot, name) for slot, by in slots.items() for name in by}
    if expected != given or counts.keys() != named_counts(stores).keys():
        missing = ", ".join(f"{s}.{n}" for s, n in sorted(expected - given)) or "none"
        extra = ", ".join(f"{s}.{n}" for s, n in sorted(given - expected)) or "none"
        raise ValueError(f"slots must match the optimizer's: missing {missing}; extra {extra}")
    for store in stores:
        for i, segment in enumerate(store.segments):
            store.t[i] = counts[segment.name]
            for slot, view in store.slot_views(i).items():
                view.copy_(slots[slot][segment.name])
