"""What an update rule is: one pure function, its slots, and what it needs to know of t."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Size, Tensor

Numbers = Mapping[str, float]
Flags = Mapping[str, bool]
FusedKernel = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], int, Numbers], None]
"""``kernel(params, grads, slots, t, numbers)``, slots as one list of tensors per slot. What changes
with t, such as bias corrections, these kernels compute themselves."""

COPY = float("nan")
"""First value of a slot that starts as a copy of the parameter."""


def _nothing(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {}


def _no_entries(flags: Flags) -> dict[str, Any]:
    return {}


def _no_slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {}


def zeros(*names: str) -> Callable[[Numbers, Flags], dict[str, float]]:
    """Return the `Rule.slots` of a rule whose slots *names* all start at 0."""
    return lambda numbers, flags: dict.fromkeys(names, 0.0)


def unscale(numbers: Numbers, like: Tensor) -> Tensor | None:
    """Return what torch's fused kernels divide gradients by, or None for 1."""
    # They divide because GradScaler is their usual caller. They also write the quotients back: a
    # large gradient, which they read in place, is itself unscaled and clipped after the update.
    scale = numbers.get("grad_scale", 1.0)
    return None if scale == 1.0 else torch.full((), 1 / scale, device=like.device)


@dataclass(frozen=True)
class Rule:
    """
    One optimizer's math, written once; an engine decides how it runs.

    Attributes:
        kind: the optimizer's name.
        update: ``(param, grad, *slots, **numbers, **flags) -> (param, *slots)`` on tensors of
            one shape, elementwise, without side effects. A number that is 0 may be tested with
            ``if``: an engine treats 0 as a case of its own.
        slots: from numbers and flags to the names (torch's) and first values of the slots.
        scalars: from t (1 at the first update), numbers and flags to further arguments of
            *update* that change with t, such as bias corrections.
        carries: for a rule that computes numbers of update t + 1 in update t: from t and the
            numbers and flags of update t to those numbers, which *scalars* and *update* get at
            t + 1. With t = 0 it returns what the first update gets.
        norms: for a rule that scales whole tensors: like *update*, but returns the tensors whose
            norms it needs, of one shape with *param*; elementwise.
        ratios: from those norms, numbers and flags to further arguments of *update*.
        shapes: for a rule that is not elementwise: from the shape of a parameter to those of its
            slots; *update* then gets the parameter in its own shape, and may write over it and
            over the slots.
        own_decay: whether *update* itself takes ``weight_decay`` when it is not decoupled.
        fused: torch's kernel for exactly this rule, or None.
        fused_from: number of elements from which that kernel is the faster engine: it wakes a
            team of threads however small the work is.
        fused_decays: whether that kernel applies ``weight_decay`` to the parameter, decoupled.
        fused_flags: flags that the spec must have for that kernel to compute the same.
        torch_hyperparameters: torch's name of a group entry -> the numbers it holds, where the
            names differ (``{"betas": ("beta1", "beta2")}``).
        torch_constants: torch's group entries that this rule has no number for.
        torch_entries: from the flags to further such entries.
        torch_flags: flags that are entries of torch's groups.
        torch_state: from t, numbers and flags to what torch keeps besides slots and ``step``.
        counts_steps: whether torch keeps ``step`` in the state of this optimizer.
        whole_steps: whether ``step`` is a Python number, not a tensor (from which torch would
            compute its bias corrections in float32).
        takes_sparse: whether a row-sparse gradient means the same as the dense one it stands
            for. (For Adam it does not: torch's SparseAdam leaves other rows' moments alone.)
        takes_sparse_in_paddle: whether Paddle takes a row-sparse gradient as the dense one.
        sparse_ahead_in_paddle: how many updates ahead of t Paddle applies such a gradient.
        by_rows: whether a row-sparse gradient updates its rows and nothing else.
        evaluated: from the parameter, its slots and numbers to the value to evaluate on, or None
            for the parameter itself.
    """

    kind: str
    update: Callable[..., tuple[Tensor, ...]]
    slots: Callable[[Numbers, Flags], dict[str, float]] = _no_slots
    scalars: Callable[[int, Numbers, Flags], dict[str, float]] = _nothing
    carries: Callable[[int, Numbers, Flags], dict[str, float]] | None = None
    norms: Callable[..., tuple[Tensor, ...]] | None = None
    ratios: Callable[[list[float], Numbers, Flags], dict[str, float]] | None = None
    shapes: Callable[[Size], dict[str, tuple[int, ...]]] | None = None
    own_decay: bool = False
    fused: FusedKernel | None = None
    fused_from: int = 0
    fused_decays: bool = False
    fused_flags: Mapping[str, bool] = field(default_factory=dict)
    torch_hyperparameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    torch_constants: Mapping[str, Any] = field(default_factory=dict)
    torch_entries: Callable[[Flags], Mapping[str, Any]] = _no_entries
    torch_flags: tuple[str, ...] = ()
    torch_state: Callable[[int, Numbers, Flags], dict[str, float]] = _nothing
    counts_steps: bool = True
    whole_steps: bool = False
    takes_sparse: bool = False
    takes_sparse_in_paddle: bool = False
    sparse_ahead_in_paddle: int = 0
    by_rows: bool = False
    evaluated: Callable[..., Tensor] | None = None
