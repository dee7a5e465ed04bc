"""The definition of an update rule: a pure function, its slots, and values that depend on t."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Size, Tensor

Numbers = Mapping[str, float]
Flags = Mapping[str, bool]
FusedKernel = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], int, Numbers], None]
"""``kernel(params, grads, slots, t, numbers)``, where *slots* has one list of tensors per slot.
The kernel itself computes values that change with t, such as bias corrections."""

COPY = float("nan")
"""First value of a slot that starts as a copy of the parameter."""


def _nothing(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {}


def _no_entries(flags: Flags) -> dict[str, Any]:
    return {}


def _no_slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {}


def zeros(*names: str) -> Callable[[Numbers, Flags], dict[str, float]]:
    """Return the function `Rule.slots` of a rule with the slots *names*, which all start at 0."""
    return lambda numbers, flags: dict.fromkeys(names, 0.0)


def unscale(numbers: Numbers, like: Tensor) -> Tensor | None:
    """Return the number that torch's fused kernels divide gradients by; None if it is 1."""
    # The kernels divide because GradScaler is their usual caller. They also write the quotients
    # back: a large gradient, which is read in place, is unscaled and clipped after the update.
    scale = numbers.get("grad_scale", 1.0)
    return None if scale == 1.0 else torch.full((), 1 / scale, device=like.device)


MIN_SHARE = 0.001
"""Lower bound of the share of unmasked coordinates that `mask_scale` divides by."""


def agreement(step: Tensor, grad: Tensor) -> Tensor:
    """Return 1 in every coordinate where *step* and *grad* have the same sign, else 0."""
    return (step * grad).sign().clamp(min=0)


def mask_scale(norm: float, size: float) -> float:
    """Return 1 / (share of the coordinates where a mask is 1), from the mask's norm and size."""
    return 1 / max(norm * norm / max(size, 1.0), MIN_SHARE)


@dataclass(frozen=True)
class Rule:
    """
    The math of one optimizer. An engine decides how to run it.

    Slots are the tensors that the optimizer keeps for each parameter, such as a mean of its
    gradients. Numbers are hyperparameters and values computed from them; t is the number of the
    update, 1 for the first.

    Attributes:
        kind: the name of the optimizer.
        update: a function ``(param, grad, *slots, **numbers, **flags) -> (param, *slots)`` of
            tensors with one shape; elementwise, without side effects. It may return any of the
            tensors it was given, and one tensor for several slots. It may test with ``if``
            whether a number is 0, since an engine treats 0 as a separate case. A comparison of
            tensors returns a mask to multiply by: 1 where it is true, else 0.
        slots: a function from numbers and flags to slot name (torch's) -> first value.
        scalars: a function from t, numbers and flags to further arguments of *update*, which
            change with t, such as bias corrections.
        carries: a function that returns the carried numbers, which update t computes and update
            t + 1 passes to *scalars* and *update*. The arguments of the function are t, and the
            numbers and flags of update t. For t = 0, the function returns the numbers for the first
            update. None for a rule that carries no numbers.
        carries_in: the dtype in which the carried numbers are kept.
        carries_from: the names of the hyperparameters that the carried numbers depend on.
        implied: a function like *carries*, which computes the carried numbers from t alone, for
            hyperparameters in *carries_from* that were the same in all updates. None if that is not
            possible.
        takes_next_lr: whether the rule also gets ``next_lr``, the lr of the next update.
        norms: an elementwise function like *update*, for a rule that scales whole tensors. The
            function gets every number and flag as an argument, and returns the tensors whose norms
            the rule needs, each in the shape of *param*.
        ratios: a function from the norms of the tensors that *norms* returns, numbers and flags to
            further arguments of *update*. Among the numbers is ``size``, the number of elements of
            the parameter.
        masks: a function like *norms* that returns the mask of the step (`agreement`), for a rule
            that masks its own step if it is cautious. The function also gets the *ratios*. *update*
            then gets ``mask_scale``, the factor for the masked step, which is 1 without a mask.
        own_caution: whether *update* applies the flag ``cautious`` itself. If not, `Transforms` do.
        shapes: a function from the shape of a parameter, and the numbers, to slot name -> shape,
            for a rule that is not elementwise. *update* then gets the parameter in its own shape,
            and may overwrite the parameter and the slots. It also gets ``in_blocks``, if it takes
            that: false if it must compute the bits of 0.2.0.
        together: a function that updates several small parameters in place, with the results of
            *update* bit for bit, for a rule with *shapes*. It gets lists in place of tensors, of
            parameters with equally many dimensions. None if there is no such function.
        own_decay: whether *update* applies ``weight_decay`` itself, unless the decay is decoupled.
        fused: torch's fused kernel for exactly this rule, or None.
        fused_unaligned: the function that calls the fused kernel for spans that are not aligned
            (`Spans.aligned`). None if *fused* takes these too.
        fused_from: the number of elements from which the fused kernel is faster than the rule. (The
            kernel starts several threads even for few elements.)
        fused_decays: whether the fused kernel applies a decoupled ``weight_decay``.
        fused_flags: the flags, with their values, for which the fused kernel computes this rule.
        torch_hyperparameters: name of an entry in torch's groups -> the numbers in the entry,
            where the names differ (``{"betas": ("beta1", "beta2")}``).
        torch_constants: the entries of torch's groups for which this rule has no number.
        torch_entries: a function from the flags to further *torch_constants*.
        torch_flags: the names of the flags that are entries of torch's groups.
        torch_state: a function from t, numbers and flags to the entries of torch's state that are
            neither slots nor ``step``.
        counts_steps: whether torch keeps ``step`` in the state of this optimizer.
        whole_steps: whether ``step`` is a Python number, not a tensor (from a tensor, torch would
            compute its bias corrections in float32).
        takes_sparse: whether a row-sparse gradient is accepted. It has the same effect as a dense
            gradient with zeros in all other rows. (False for Adam: torch's SparseAdam does not
            change the moments of rows that the gradient lacks.)
        takes_sparse_in_paddle: whether *takes_sparse* is true in Paddle's dialects.
        sparse_ahead_in_paddle: the number that Paddle adds to t for a row-sparse gradient.
        by_rows: whether a row-sparse gradient updates its own rows and nothing else.
        evaluated: a function from the parameter, its slots and numbers to the value to use in
            evaluation; None if that is the parameter itself.
        not_negative: the slots that have no negative values.
    """

    kind: str
    update: Callable[..., tuple[Tensor, ...]]
    slots: Callable[[Numbers, Flags], dict[str, float]] = _no_slots
    scalars: Callable[[int, Numbers, Flags], dict[str, float]] = _nothing
    carries: Callable[[int, Numbers, Flags], dict[str, float]] | None = None
    carries_in: torch.dtype = torch.float32
    carries_from: tuple[str, ...] = ()
    implied: Callable[[int, Numbers, Flags], dict[str, float]] | None = None
    takes_next_lr: bool = False
    norms: Callable[..., tuple[Tensor, ...]] | None = None
    ratios: Callable[[list[float], Numbers, Flags], dict[str, float]] | None = None
    masks: Callable[..., Tensor] | None = None
    own_caution: bool = False
    shapes: Callable[[Size, Numbers], dict[str, tuple[int, ...]]] | None = None
    together: Callable[..., None] | None = None
    own_decay: bool = False
    fused: FusedKernel | None = None
    fused_unaligned: FusedKernel | None = None
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
    not_negative: frozenset[str] = frozenset()
