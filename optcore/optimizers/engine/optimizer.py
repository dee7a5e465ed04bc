"""A ``torch.optim.Optimizer`` that runs update rules over flat memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from optcore.optimizers.engine import state as group_state
from optcore.optimizers.engine.group_update import GroupUpdate, check_loss_scale
from optcore.optimizers.engine.state import GroupState
from optcore.optimizers.engine.swapped import swapped
from optcore.optimizers.engine.torch_state import (
    add_param_group,
    as_given,
    groups_from_torch,
    groups_to_torch,
    states_to_torch,
    uncast,
)
from optcore.optimizers.engine.transforms.clipping import GradScales
from optcore.optimizers.engine.transforms.update_clip import limited_update
from optcore.optimizers.scheduled import MetricDrivenValue, Plan
from optcore.schedules.make import MetricDrivenSchedule
from optcore.spec.optimizers.clip import UpdateClip

NOTHING_TO_UPDATE = (
    "no parameter has a gradient, so nothing was updated; were the model's parameters replaced "
    "after the optimizer was made (load_state_dict(assign=True))?"
)


class FlatOptimizer(torch.optim.Optimizer):
    """
    Applies an update rule to each parameter group of a model.

    It works like every torch optimizer: `param_groups` holds the hyperparameters, which may be
    changed between steps; `state_dict` uses torch's names; hooks, closures and GradScaler work.
    Use `optcore.make_optimizer` to make one.

    One difference from torch's optimizers: with most rules, the parameters become views of one
    buffer per group, dtype and device (`optcore.optimizers.engine.memory.flat`).
    """

    needs_closure = False
    aligned = True

    def __init__(
        self,
        groups: Sequence[tuple[GroupUpdate, Sequence[tuple[str, Tensor]]]],
        *,
        kind: str,
        grad_scales: GradScales,
        plans: Sequence[Mapping[str, Plan]] = (),
        clip_update: UpdateClip | None = None,
    ) -> None:
        """
        Allocate the states of *groups*. With most rules, the parameters move to flat buffers.

        Args:
            groups: for each group, its update and its (name, parameter) pairs.
            kind: the name of the optimizer, for error messages and `repr`.
            grad_scales: how the gradients of each group are unscaled and clipped.
            plans: for each group, the name of each scheduled hyperparameter -> its values.
            clip_update: the limit on the change of the parameters in an update; None for no limit.
        """
        self.kind = kind
        self._clip_update = clip_update
        self._grad_scales = grad_scales
        self._group_updates = [update for update, _ in groups]
        self._plans = [dict(plan) for plan in plans] or [{} for _ in groups]
        self._states: list[list[GroupState]] = []
        self._updates = 0
        super().__init__(  # calls add_param_group, which needs all of the above
            [{"params": list(named), **update.numbers} for update, named in groups],
            dict(self._group_updates[0].numbers),
        )
        self.follow_plans()

    @property
    def num_updates(self) -> int:
        """The number of updates made so far, which is the t that schedules get."""
        return self._updates

    @property
    def engine(self) -> str:
        """The name of the engine: ``eager``, ``fused``, or ``eager+fused`` if groups differ."""
        return "+".join(sorted({update.engine.name for update in self._group_updates}))

    @property
    def loss_scale(self) -> float:
        """The factor that gradients have been multiplied by. `check_loss_scale` limits changes."""
        return self._grad_scales.loss_scale

    @loss_scale.setter
    def loss_scale(self, scale: float) -> None:
        check_loss_scale(self._group_updates, self.loss_scale, scale)
        self._grad_scales.loss_scale = scale

    def align(self, aligned: bool) -> None:
        """Choose whether updated ranges end on 128-byte boundaries (`memory.segments`)."""
        self.aligned = aligned
        for state in self.states():
            state.align(aligned)

    def metric_driven(self) -> list[MetricDrivenSchedule]:
        """Return the schedules that depend on a metric, in the order of the groups."""
        plans = [plan for plans in self._plans for plan in plans.values()]
        return [plan.schedule for plan in plans if isinstance(plan, MetricDrivenValue)]

    def states(self) -> list[GroupState]:
        """Return the states of all groups."""
        return [state for states in self._states for state in states]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of (name, parameter) pairs and allocate its state."""
        add_param_group(self, param_group)
        i = len(self.param_groups) - 1
        if i == len(self._group_updates):  # called by a user, after the optimizer was made
            self._group_updates.append(self._group_updates[0])
            self._plans.append({})
            self._grad_scales.add_like_the_first()
        self._states.append(self._placed(i))
        self._show_slots()

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """
        Apply one update to every parameter that has a gradient.

        Args:
            closure: a function that computes the gradients and returns the loss. Without it, the
                gradients must have been computed already.
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
    # (8 of 29 us). torch leaves a step alone that has the attribute `hooked`.
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
        """Make a step inside a profiler range, and call the hooks before and after it."""
        return self._step(closure)

    def _update(self) -> bool:
        """Update every parameter that has a gradient; return whether any parameter has one."""
        self.follow_plans()
        scales = self._grad_scales.factors(self.param_groups)
        limited = limited_update(self._clip_update, self.param_groups)
        updated = False
        for i, group in enumerate(self.param_groups):
            if True in [state.is_elsewhere() for state in self._states[i]]:
                self._take_back(i)  # all states of the group at once
            numbers = self._numbers(i, group)
            numbers["grad_scale"] = scales[i]
            for state in self._states[i]:
                for t, spans in state.updates():
                    self._group_updates[i].engine(spans, t, numbers)
                    updated = True
        if limited is not None:
            limited.limit()
        self._updates += updated  # a step without any gradient moves no schedule
        return updated

    def averaged(self) -> AbstractContextManager[None]:
        """
        Give the parameters, inside a ``with`` block, the values to use in evaluation.

        They differ from the trained values with a schedule-free optimizer, asgd or an ema.
        """
        return swapped(self._evaluated())

    def release(self) -> None:
        """
        Give the parameters memory of their own, so that the model can be used or saved alone.

        `torch.save` of a view saves its whole buffer. The next `step` makes new views.
        """
        for state in self.states():
            state.release()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set all gradients to None, or to 0 if *set_to_none* is false."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        for group in self.param_groups:
            for param in group["params"]:
                param.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state in the format of torch's optimizers. Each tensor is a copy."""
        for i, group in enumerate(self.param_groups):
            for param in group["params"]:
                self.state.pop(param, None)
            numbers = self._numbers(i, group)
            self.state.update(states_to_torch(self._group_updates[i], self._states[i], numbers))
        packed = super().state_dict()
        packed["param_groups"] = groups_to_torch(packed["param_groups"], self._group_updates)
        self._show_slots()
        return packed

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state that ``state_dict`` of this class or of torch's own optimizer returned."""
        theirs = state_dict["param_groups"]
        groups = groups_from_torch(theirs, self.param_groups, self._group_updates)
        # With a wrong number of groups, torch's own error is the clearer one.
        if len(groups) == len(theirs):
            state_dict = {**state_dict, "param_groups": groups}
        with uncast(self):
            super().load_state_dict(dict(state_dict))

    def named_slots(self) -> dict[str, dict[str, Tensor]]:
        """Return slot -> parameter name -> contiguous tensor, as checkpoints store the state."""
        self._each_with_its_last_numbers(group_state.note_last)
        return group_state.named_slots(self.states())

    def named_counts(self) -> dict[str, int]:
        """Return parameter name -> number of updates applied to it."""
        return group_state.named_counts(self.states())

    def load_named(
        self,
        slots: Mapping[str, Mapping[str, Tensor]],
        counts: Mapping[str, int],
        *,
        updates: int | None = None,
    ) -> None:
        """
        Restore the state that `named_slots` and `named_counts` returned.

        Args:
            slots: slot -> parameter name -> tensor.
            counts: parameter name -> number of updates applied to it.
            updates: the number of updates made, for schedules; by default the highest of *counts*.

        Raises:
            ValueError: a slot or a parameter is missing or unknown, or has another shape.
        """
        group_state.load_named(self.states(), slots, counts)
        self._updates = max(counts.values(), default=0) if updates is None else updates
        self._follow_the_loaded_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load *state*. Called by `load_state_dict`, and for a copied or unpickled optimizer."""
        for key, value in state["state"].items():
            state["state"][key] = as_given(value)
        super().__setstate__(state)
        self._states = [self._placed(i) for i in range(len(self.param_groups))]
        for own in self.states():
            for i, segment in enumerate(own.segments):
                group_state.absorb(own, i, self.state.get(segment.param, {}), self.kind)
        self._updates = max((t for own in self.states() for t in own.t), default=0)
        self._follow_the_loaded_state()
        self._show_slots()

    def __getstate__(self) -> dict[str, Any]:
        """Return what `__setstate__` loads into a copied or unpickled optimizer."""
        for state in self.states():
            for segment, t in zip(state.segments, state.t, strict=True):
                self.state[segment.param]["step"] = t
        own = ("kind", "_group_updates", "_plans", "_grad_scales", "_clip_update", "aligned")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def follow_plans(self, back: int = 0) -> None:
        """Set scheduled hyperparameters to their values in the update *back* before the next."""
        for i, group in enumerate(self.param_groups):
            group.update(self._planned(i, back))

    def _planned(self, i: int, back: int) -> dict[str, Any]:
        return {name: value(max(0, self._updates - back)) for name, value in self._plans[i].items()}

    def _evaluated(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (parameter, value to use in evaluation) for parameters with such a value."""
        for i, group in enumerate(self.param_groups):
            rule, numbers = self._group_updates[i].rule, self._numbers(i, group)
            yield from group_state.evaluated(rule, self._states[i], numbers)

    def _numbers(self, i: int, group: Mapping[str, Any], back: int = 0) -> dict[str, float]:
        """Return the numbers of group *i* for the next update; for the previous if *back* is 1."""
        update, plan = self._group_updates[i], self._plans[i].get("lr")
        numbers = update.rounded_numbers(group)
        if update.rule.takes_next_lr:
            numbers["next_lr"] = numbers["lr"] if plan is None else plan(self._updates + 1 - back)
        return numbers

    def _follow_the_loaded_state(self) -> None:
        """Set `param_groups` to the values of the last update; compute missing carried numbers."""
        self.follow_plans(back=1)
        self._each_with_its_last_numbers(group_state.imply)

    def _each_with_its_last_numbers(self, use: Callable[..., None]) -> None:
        for i, group in enumerate(self.param_groups):
            last = self._numbers(i, {**group, **self._planned(i, 1)}, back=1)
            use(self._group_updates[i], self._states[i], last)

    def _placed(self, i: int) -> list[GroupState]:
        group = self.param_groups[i]
        named = list(zip(group["param_names"], group["params"], strict=True))
        update = self._group_updates[i]
        return group_state.allocate(update, named, self._numbers(i, group), aligned=self.aligned)

    def _take_back(self, i: int) -> None:
        """Make parameters of group *i* views again after a move; make new states if necessary."""
        old = self._states[i]
        if all(state.fits() for state in old):
            for state in old:
                state.adopt()
            return
        self._states[i] = self._placed(i)
        group_state.move(old, self._states[i])
        self._show_slots()

    def _show_slots(self) -> None:
        """Put views of the slots into `state`, where users of torch expect them."""
        for state in self.states():
            for i, segment in enumerate(state.segments):
                self.state[segment.param] = state.slot_views(i)
