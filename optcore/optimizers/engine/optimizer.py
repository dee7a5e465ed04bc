"""A torch.optim.Optimizer that runs rules over flat memory."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from optcore.optimizers.engine import state as states
from optcore.optimizers.engine.clipping import GradScales
from optcore.optimizers.engine.flat import MASTER, Flat
from optcore.optimizers.engine.group_update import Law, Store
from optcore.optimizers.engine.torch_state import group_from_torch, group_to_torch, state_to_torch
from optcore.schedules.make import Followed

NOTHING_TO_UPDATE = (
    "no parameter has a gradient, so nothing was updated; were the model's parameters replaced "
    "after the optimizer was made (load_state_dict(assign=True))?"
)

_add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
"""Torch's own, without what keeps it from being compiled: that imports torch._dynamo, 1.3 CPU s."""

Plan = Callable[[int], float]
"""From the number of updates so far to the value of a hyperparameter."""


class FlatOptimizer(torch.optim.Optimizer):
    """
    Update rules over the parameters of a model, one per group.

    Works as every torch optimizer does: `param_groups` hold the numbers and may be changed
    between steps, `state_dict` speaks torch's names, hooks, closures and GradScaler work. Made
    by `optcore.make_optimizer`.

    What is different: the parameters become views of one buffer per group, dtype and device
    (`optcore.optimizers.engine.flat`), where the rule is elementwise.
    """

    needs_closure = False

    def __init__(
        self,
        groups: Sequence[tuple[Law, Sequence[tuple[str, Tensor]]]],
        *,
        kind: str,
        grad_scales: GradScales,
        plans: Sequence[Mapping[str, Plan]] = (),
    ) -> None:
        """
        Move the parameters of *groups* into flat buffers.

        Args:
            groups: each a law, and the names and parameters that follow it.
            kind: the optimizer's name, for errors and `repr`.
            grad_scales: how each group's gradients are unscaled, and clipped all together.
            plans: for each group, the numbers that move by themselves.
        """
        self.kind = kind
        self._grad_scales = grad_scales
        self._laws = [law for law, _ in groups]
        self._plans = [dict(plan) for plan in plans] or [{} for _ in groups]
        self._stores: list[list[Store]] = []
        self._updates = 0
        super().__init__(
            [{"params": list(named), **law.numbers} for law, named in groups],
            dict(self._laws[0].numbers),
        )
        self.follow_plans()

    @property
    def num_updates(self) -> int:
        """Updates made so far: where the schedules stand."""
        return self._updates

    @property
    def engine(self) -> str:
        """Name of what computes: ``eager`` or ``fused``, or both if groups differ."""
        return "+".join(sorted({law.engine.name for law in self._laws}))

    @property
    def loss_scale(self) -> float:
        """What gradients come multiplied by; may be set between steps."""
        return self._grad_scales.loss_scale

    @loss_scale.setter
    def loss_scale(self, scale: float) -> None:
        self._grad_scales.loss_scale = scale

    def followed(self) -> list[Followed]:
        """Return the schedules that are to be told a metric, those of one group after another."""
        found = [
            getattr(plan, "followed", None) for plans in self._plans for plan in plans.values()
        ]
        return [schedule for schedule in found if schedule is not None]

    def stores(self) -> list[Store]:
        """Return the homes of all groups' parameters."""
        return [store for stores in self._stores for store in stores]

    def flats(self) -> list[Flat]:
        """Return the flat buffers of all groups."""
        return [store for store in self.stores() if isinstance(store, Flat)]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of (name, parameter) pairs and move them into flat buffers."""
        _add_param_group(self, param_group)
        i = len(self.param_groups) - 1
        if i == len(self._laws):  # by hand, after the optimizer was made
            self._laws.append(self._laws[0])
            self._plans.append({})
            self._grad_scales.add_like_the_first()
        group = self.param_groups[i]
        self._stores.append(self._placed(i, named_parameters(group)))
        self._show_slots()

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """
        Apply one update to every parameter that has a gradient.

        Args:
            closure: computes gradients again and returns the loss; rarely needed.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or torch._C._autograd._profiler_enabled()
        ):
            return self._hooked_step() if closure is None else self._hooked_step(closure)
        return self._step(closure)

    # torch wraps every step in a profiler range, which costs more than a small network's update
    # (8 of 29 us). A step that says it is hooked already is left as it is.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Callable[[], float] | None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grad_was_enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # torch.no_grad() costs 2 us
        try:
            updated = self._update()
        finally:
            torch._C._set_grad_enabled(grad_was_enabled)
        if not updated:
            warnings.warn(NOTHING_TO_UPDATE, RuntimeWarning, stacklevel=3)
        return loss

    @torch.optim.Optimizer.profile_hook_step
    def _hooked_step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do the same between the hooks, in a profiler's range."""
        return self._step(closure)

    def _update(self) -> bool:
        """Update whatever has a gradient; return whether anything had."""
        self.follow_plans()
        scales = self._grad_scales.factors(self.param_groups)
        updated = False
        for i, group in enumerate(self.param_groups):
            law = self._laws[i]
            for store in self._stores[i]:
                if store.moved():
                    self._take_back(i)
                    break
            numbers = law.rounded_numbers(group)
            numbers["grad_scale"] = scales[i]
            for store in self._stores[i]:
                for t, spans in store.updates():
                    law.engine(spans, t, numbers)
                    updated = True
        self._updates += updated
        return updated

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """
        Put the parameters to evaluate on in place of those that are trained, for a ``with``.

        They differ for schedule_free_adamw, asgd, and with an `average`.
        """
        kept: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for param, value in self._evaluated():
                kept.append((param, param.detach().clone()))
                param.copy_(value)
        try:
            yield
        finally:
            with torch.no_grad():
                for param, value in kept:
                    param.copy_(value)

    def release(self) -> None:
        """
        Give the parameters memory of their own again, for whoever takes the model from here.

        A parameter that is a view saves its whole buffer under `torch.save`. Another `step` makes
        them views again.
        """
        for store in self.stores():
            store.release()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; a parameter the next backward does not reach is not updated."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        for group in self.param_groups:
            for param in group["params"]:
                param.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state in torch's form, every tensor with memory of its own."""
        for i, group in enumerate(self.param_groups):
            law, numbers = self._laws[i], self._numbers(i, group)
            for store in self._stores[i]:
                for j, (segment, t) in enumerate(zip(store.segments, store.t, strict=True)):
                    self.state.pop(segment.param, None)
                    if t == 0:
                        continue  # as in torch, where state begins with the first step
                    state: dict[str, Any] = {
                        slot: view.clone() for slot, view in store.slot_views(j).items()
                    }
                    state |= state_to_torch(t, law.rule, numbers, law.flags)
                    if state:
                        self.state[segment.param] = state
        packed = super().state_dict()
        packed["param_groups"] = [
            group_to_torch(group, law.rule, law.flags)
            for group, law in zip(packed["param_groups"], self._laws, strict=True)
        ]
        self._show_slots()
        return packed

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state in torch's form: our own, or that of torch's optimizer."""
        groups = [
            group_from_torch(theirs, ours, law.rule, law.flags)
            for theirs, ours, law in zip(
                state_dict["param_groups"], self.param_groups, self._laws, strict=False
            )
        ]
        # A wrong number of groups is left in place for torch's own error.
        if len(groups) == len(state_dict["param_groups"]):
            state_dict = {**state_dict, "param_groups": groups}
        super().load_state_dict(dict(state_dict))

    def named_slots(self) -> dict[str, dict[str, Tensor]]:
        """Return slot -> parameter name -> tensor, contiguous; for our own checkpoints."""
        return states.named_slots(self.stores())

    def named_counts(self) -> dict[str, int]:
        """Return parameter name -> number of updates applied to it."""
        return states.named_counts(self.stores())

    def load_named(
        self,
        slots: Mapping[str, Mapping[str, Tensor]],
        counts: Mapping[str, int],
        *,
        updates: int | None = None,
    ) -> None:
        """
        Take over what `named_slots` and `named_counts` returned.

        Args:
            slots: slot -> parameter name -> tensor.
            counts: parameter name -> number of updates applied to it.
            updates: how many were made of this run: where its schedules stand. Default: the most
                that any parameter has.

        Raises:
            ValueError: a slot or a parameter is missing, or there is one too many.
        """
        states.load_named(self.stores(), slots, counts)
        self._updates = max(counts.values(), default=0) if updates is None else updates
        self.follow_plans(back=1)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over *state*: after load_state_dict, or as a copy of another optimizer."""
        super().__setstate__(state)
        self._stores = [
            self._placed(i, named_parameters(group)) for i, group in enumerate(self.param_groups)
        ]
        for store in self.stores():
            for i, segment in enumerate(store.segments):
                states.absorb(store, i, self.state.get(segment.param, {}), self.kind)
        self._updates = max((t for store in self.stores() for t in store.t), default=0)
        self.follow_plans(back=1)
        self._show_slots()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made from."""
        for store in self.stores():
            for segment, t in zip(store.segments, store.t, strict=True):
                self.state[segment.param]["step"] = t
        own = ("kind", "_laws", "_plans", "_grad_scales")
        state = {**super().__getstate__(), **{name: self.__dict__[name] for name in own}}
        return state

    def follow_plans(self, back: int = 0) -> None:
        """Set the numbers that move to what the next update is made with, or one *back* of it."""
        updates = max(0, self._updates - back)
        for i, plan in enumerate(self._plans):
            for name, value in plan.items():
                self.param_groups[i][name] = value(updates)

    def _evaluated(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each parameter that is not what to evaluate on, and what is."""
        for i, group in enumerate(self.param_groups):
            evaluated = self._laws[i].rule.evaluated
            if evaluated is None:
                continue
            numbers = self._numbers(i, group)
            for store in self._stores[i]:
                for j, (segment, t) in enumerate(zip(store.segments, store.t, strict=True)):
                    if t:
                        slots = store.slot_views(j)
                        param = slots.pop(MASTER, segment.param)  # in the slots' dtype
                        yield segment.param, evaluated(param, *slots.values(), **numbers)

    def _numbers(self, i: int, group: Mapping[str, Any]) -> dict[str, float]:
        """Return the numbers of *group*, number *i*, as the rule gets them."""
        return self._laws[i].rounded_numbers(group)

    def _placed(self, i: int, named: Sequence[tuple[str, Tensor]]) -> list[Store]:
        return states.homes_of(self._laws[i], named, self._numbers(i, self.param_groups[i]))

    def _take_back(self, i: int) -> None:
        """Make the parameters of group *i* views again after something moved them."""
        old = self._stores[i]
        if all(store.fits() for store in old):
            for store in old:
                store.adopt()
            return
        self._stores[i] = self._placed(i, named_parameters(self.param_groups[i]))
        states.move(old, self._stores[i])
        self._show_slots()

    def _show_slots(self) -> None:
        """Let `state` show the slots: views, as torch's users expect to find them."""
        for store in self.stores():
            for i, segment in enumerate(store.segments):
                self.state[segment.param] = store.slot_views(i)


def named_parameters(group: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    """Return (name, parameter) of each parameter of a param_group."""
    return list(zip(group["param_names"], group["params"], strict=True))
