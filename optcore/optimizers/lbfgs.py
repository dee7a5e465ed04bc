"""L-BFGS: torch's own optimizer, with the interface of `FlatOptimizer`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optcore.schedules.make import MetricDrivenSchedule
from optcore.spec.optimizers.lbfgs import Lbfgs

LISTS = ("old_dirs", "old_stps", "ro")
TENSORS = ("d", "H_diag", "prev_flat_grad", "t", "prev_loss")
"""Entries of torch's state, which all parameters share. The last two are Python numbers."""


class LbfgsOptimizer(torch.optim.LBFGS):
    """torch.optim.LBFGS whose state can be saved and loaded by name. `step` needs a closure."""

    needs_closure = True
    engine = "torch"
    kind = "lbfgs"
    aligned = False

    def __init__(self, named: Sequence[tuple[str, Tensor]], spec: Lbfgs) -> None:
        """Take the hyperparameters from *spec*. The parameters keep their own memory."""
        super().__init__(
            [param for _, param in named],
            lr=spec.lr,
            max_iter=spec.max_iter,
            max_eval=spec.max_eval,
            tolerance_grad=spec.tolerance_grad,
            tolerance_change=spec.tolerance_change,
            history_size=spec.history_size,
            line_search_fn=spec.line_search_fn,
        )

    def align(self, aligned: bool) -> None:
        """Do nothing: torch updates each parameter by itself."""

    def metric_driven(self) -> list[MetricDrivenSchedule]:
        """Return an empty list: lbfgs has no schedules."""
        return []

    @property
    def num_updates(self) -> int:
        """Always 0. Only schedules read the number of updates, and lbfgs has none."""
        return 0

    def follow_plans(self) -> None:
        """Do nothing: lbfgs has no schedules."""

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Do nothing: evaluation uses the parameters themselves."""
        yield

    def release(self) -> None:
        """Do nothing: the parameters have memory of their own."""

    def named_slots(self) -> dict[str, dict[str, Tensor]]:
        """
        Return torch's state: entry -> key -> tensor.

        An entry that is a list has a tensor for each element, and the key is the element's
        position. Each other entry has one tensor, with the key ``all``. Python numbers become
        float64 tensors.
        """
        state = self._of_all()
        slots = {
            name: {"all": _as_tensor(state[name])}
            for name in TENSORS
            if state.get(name) is not None
        }
        for name in LISTS:
            if values := state.get(name):
                slots[name] = {str(i): _as_tensor(value) for i, value in enumerate(values)}
        return slots

    def named_counts(self) -> dict[str, int]:
        """Return the numbers of iterations and of loss evaluations made so far."""
        state = self._of_all()
        return {name: int(state.get(name, 0)) for name in ("n_iter", "func_evals")}

    def load_named(
        self,
        slots: Mapping[str, Mapping[str, Tensor]],
        counts: Mapping[str, int],
        *,
        updates: int | None = None,
    ) -> None:
        """
        Restore the state that `named_slots` and `named_counts` returned; *updates* is not used.

        Raises:
            ValueError: *slots* or *counts* come from another optimizer.
        """
        if counts.keys() != self.named_counts().keys() or slots.keys() - {*LISTS, *TENSORS}:
            own, given = ", ".join(self.named_counts()), ", ".join(sorted({*counts, *slots}))
            raise ValueError(
                f"the state must be from lbfgs and have the counts {own}, got the entries {given}"
            )
        state: dict[str, Any] = dict(counts)
        for name, by in slots.items():
            if name in LISTS:
                state[name] = [by[str(i)].clone() for i in range(len(by))]
            elif name in ("t", "prev_loss"):
                state[name] = float(by["all"])
            else:
                state[name] = by["all"].clone()
        self._of_all().clear()
        if counts["n_iter"]:
            # Scratch space of torch, written before it is read. Lists may be empty, and then have
            # no tensor in a checkpoint, but after its first iteration torch expects them.
            state["al"] = [None] * self.param_groups[0]["history_size"]
            self._of_all().update({**{name: [] for name in LISTS}, **state})

    def memory(self) -> dict[str, Any]:
        """Return the state, for `recall`. Tensors that a step overwrites in place are copied."""
        found: dict[str, Any] = {
            name: list(value) if isinstance(value, list) else value
            for name, value in self._of_all().items()
        }
        # torch overwrites this tensor in place. It replaces other tensors, and changes the lists.
        if (before := found.get("prev_flat_grad")) is not None:
            found["prev_flat_grad"] = before.clone()
        return found

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Restore the state that `memory` returned."""
        self._of_all().clear()
        self._of_all().update(memory)

    def _of_all(self) -> dict[str, Any]:
        # torch keeps the state of all parameters under the first of them.
        state: dict[str, Any] = self.state[self.param_groups[0]["params"][0]]
        return state


def _as_tensor(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().contiguous()
    return torch.tensor(float(value), dtype=torch.float64)
