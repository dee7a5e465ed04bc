"""What an update rule is: one pure function, its slots, and what it needs to know of t."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Numbers = Mapping[str, float]
Flags = Mapping[str, bool]
FusedKernel = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], int, Numbers], None]
"""``kernel(params, grads, slots, t, numbers)``, slots as one list of tensors per slot. What changes
with t, such as bias corrections, these kernels compute themselves."""


def _nothing(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    del t, numbers, flags
    return {}


@dataclass(frozen=True)
class Rule:
    """
    One optimizer's math, written once; engines decide how it runs.

    Attributes:
        update: ``(param, grad, *slots, **numbers, **flags) -> (param, *slots)`` on tensors of
            one shape, elementwise, without side effects. A number that is 0 may be tested with
            ``if``: an engine treats 0 as a case of its own.
        slots: from numbers and flags to the slots' names (torch's) and their first values.
        scalars: from t (1 at the first update), numbers and flags to further arguments of
            *update* that change with t, such as bias corrections.
        fused: torch's kernel for exactly this rule, or None.
        fused_from: parameters from which that kernel is the faster engine: it wakes a team of
            threads however small the work is.
        torch_hyperparameters: torch's name of a group entry -> the numbers it holds, where the
            names differ (``{"betas": ("beta1", "beta2")}``).
        torch_constants: torch's group entries that this rule has no number for.
        torch_flags: flags that are entries of torch's groups.
        counts_steps: whether torch keeps ``step`` in this optimizer's state.
        takes_sparse: whether a row-sparse gradient means the same as the dense one it stands
            for. (For Adam it does not: torch's SparseAdam leaves other rows' moments alone.)
    """

    update: Callable[..., tuple[Tensor, ...]]
    slots: Callable[[Numbers, Flags], dict[str, float]]
    scalars: Callable[[int, Numbers, Flags], dict[str, float]] = _nothing
    fused: FusedKernel | None = None
    fused_from: int = 0
    torch_hyperparameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    torch_constants: Mapping[str, Any] = field(default_factory=dict)
    torch_flags: tuple[str, ...] = ()
    counts_steps: bool = True
    takes_sparse: bool = False
