"""A torch.optim.Optimizer that runs one rule over flat memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from optcore.optimizers.engines import Eager, Engine, Fused
from optcore.optimizers.flat import Flat
from optcore.optimizers.rule import Flags, Numbers, Rule
from optcore.optimizers.torch_state import group_from_torch, group_to_torch
from optcore.spec.optimizers import float32

NOTHING_TO_UPDATE = (
    "no parameter has a gradient, so nothing was updated; were the model's parameters replaced "
    "after the optimizer was made (load_state_dict(assign=True))?"
)


class FlatOptimizer(torch.optim.Optimizer):
    """
    One update rule over the parameters of a model.

    Works as every torch optimizer does: `param_groups` hold the numbers and may be changed
    between steps, `state_dict` speaks torch's names, hooks, closures and GradScaler work. Made
    by `optcore.make_optimizer`.

    What is different: the parameters become views of one buffer per group, dtype and device
    (`optcore.optimizers.flat`).
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        *,
        kind: str,
        rule: Rule,
        flags: Flags,
        numbers: Numbers,
        rounded: frozenset[str] = frozenset(),
        fused: bool,
    ) -> None:
        """
        Move the parameters of *groups* into flat buffers.

        Args:
            groups: each with ``params``, a list of (name, parameter), and its own numbers.
            kind: the optimizer's name, for errors and `repr`.
            rule: the math.
            flags: the dialect's switches.
            numbers: defaults of the groups' numbers.
            rounded: numbers that the rule gets as float32, whatever a group holds.
            fused: whether torch's kernel computes, else the rule itself.
        """
        self.kind = kind
        self._rule, self._flags = rule, flags
        self._names, self._rounded = tuple(numbers), rounded
        self._engine: Engine = Fused(rule, flags) if fused else Eager(rule, flags)
        self._flats: list[list[Flat]] = []
        super().__init__([dict(group) for group in groups], dict(numbers))

    @property
    def engine(self) -> str:
        """Name of what computes: ``eager`` or ``fused``."""
        return self._engine.name

    def flats(self) -> list[Flat]:
        """Return the flat buffers of all groups."""
        return [flat for group in self._flats for flat in group]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of (name, parameter) pairs and move them into flat buffers."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        self._flats.append(self._placed(group, named_parameters(group)))
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
        updated = False
        for i, group in enumerate(self.param_groups):
            if any(flat.moved() for flat in self._flats[i]):
                self._take_back(i)
            numbers = self._numbers(group)
            for flat in self._flats[i]:
                for t, spans in flat.updates():
                    self._engine(spans, t, numbers)
                    updated = True
        return updated

    def release(self) -> None:
        """
        Give the parameters memory of their own again, for whoever takes the model from here.

        A parameter that is a view saves its whole buffer under `torch.save`. Another `step` makes
        them views again.
        """
        for flat in self.flats():
            flat.release()

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
        for flat in self.flats():
            for segment, t in zip(flat.segments, flat.t, strict=True):
                self.state.pop(segment.param, None)
                if t == 0:
                    continue  # as in torch, where state begins with the first step
                state = {slot: segment.view(buffer).clone() for slot, buffer in flat.slots.items()}
                if self._rule.counts_steps:
                    state["step"] = torch.tensor(float(t))
                if state:
                    self.state[segment.param] = state
        packed = super().state_dict()
        packed["param_groups"] = [
            group_to_torch(group, self._rule, self._flags) for group in packed["param_groups"]
        ]
        self._show_slots()
        return packed

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state in torch's form: our own, or that of torch's optimizer."""
        groups = [
            group_from_torch(theirs, ours, self._rule, self._flags)
            for theirs, ours in zip(state_dict["param_groups"], self.param_groups, strict=False)
        ]
        # A wrong number of groups is left in place for torch's own error.
        if len(groups) == len(state_dict["param_groups"]):
            state_dict = {**state_dict, "param_groups": groups}
        super().load_state_dict(dict(state_dict))

    def named_slots(self) -> dict[str, dict[str, Tensor]]:
        """Return slot -> parameter name -> tensor, contiguous; for our own checkpoints."""
        slots: dict[str, dict[str, Tensor]] = {}
        for flat in self.flats():
            for slot, buffer in flat.slots.items():
                slots.setdefault(slot, {}).update(
                    {s.name: s.view(buffer).contiguous() for s in flat.segments}
                )
        return slots

    def named_counts(self) -> dict[str, int]:
        """Return parameter name -> number of updates applied to it."""
        return {
            segment.name: t
            for flat in self.flats()
            for segment, t in zip(flat.segments, flat.t, strict=True)
        }

    def load_named(
        self, slots: Mapping[str, Mapping[str, Tensor]], counts: Mapping[str, int]
    ) -> None:
        """
        Take over what `named_slots` and `named_counts` returned.

        Raises:
            ValueError: a slot or a parameter is missing, or there is one too many.
        """
        expected = {(slot, name) for slot, by in self.named_slots().items() for name in by}
        given = {(slot, name) for slot, by in slots.items() for name in by}
        if expected != given or counts.keys() != self.named_counts().keys():
            missing = ", ".join(f"{s}.{n}" for s, n in sorted(expected - given)) or "none"
            extra = ", ".join(f"{s}.{n}" for s, n in sorted(given - expected)) or "none"
            raise ValueError(f"slots must match the optimizer's: missing {missing}; extra {extra}")
        for flat in self.flats():
            for i, segment in enumerate(flat.segments):
                flat.t[i] = counts[segment.name]
                for slot, buffer in flat.slots.items():
                    segment.view(buffer).copy_(slots[slot][segment.name])

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over *state*: after load_state_dict, or as a copy of another optimizer."""
        super().__setstate__(state)
        self._flats = [self._placed(group, named_parameters(group)) for group in self.param_groups]
        for flat in self.flats():
            for i, segment in enumerate(flat.segments):
                self._absorb(flat, i, self.state.get(segment.param, {}))
        self._show_slots()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made from."""
        for flat in self.flats():
            for segment, t in zip(flat.segments, flat.t, strict=True):
                self.state[segment.param]["step"] = t
        own = ("kind", "_rule", "_flags", "_names", "_rounded", "_engine")
        state = {**super().__getstate__(), **{name: self.__dict__[name] for name in own}}
        return state

    def _numbers(self, group: Mapping[str, Any]) -> dict[str, float]:
        """Return the numbers of *group* as the rule gets them."""
        numbers = {name: float(group[name]) for name in self._names}
        for name in self._rounded:
            numbers[name] = float32(numbers[name])
        return numbers

    def _placed(self, group: Mapping[str, Any], named: Sequence[tuple[str, Tensor]]) -> list[Flat]:
        first_values = self._rule.slots(self._numbers(group), self._flags)

        def home(pair: tuple[str, Tensor]) -> tuple[str, str]:
            return (str(pair[1].dtype), str(pair[1].device))

        return [
            Flat(list(pairs), first_values, takes_sparse=self._rule.takes_sparse)
            for _, pairs in groupby(sorted(named, key=home), key=home)
        ]

    def _take_back(self, i: int) -> None:
        """Make the parameters of group *i* views again after something moved them."""
        for flat in self._flats[i]:
            if not flat.fits():
                break
        else:
            for flat in self._flats[i]:
                flat.adopt()
            return
        old = self._flats[i]
        group = self.param_groups[i]
        self._flats[i] = self._placed(group, named_parameters(group))
        states = {
            segment.param: (flat, segment, t)
            for flat in old
            for segment, t in zip(flat.segments, flat.t, strict=True)
        }
        for flat in self._flats[i]:
            for j, segment in enumerate(flat.segments):
                source, place, flat.t[j] = states[segment.param]
                for slot, buffer in flat.slots.items():
                    segment.view(buffer).copy_(place.view(source.slots[slot]))
        self._show_slots()

    def _absorb(self, flat: Flat, i: int, state: Mapping[str, Any]) -> None:
        """Copy a parameter's *state* into the buffers."""
        segment = flat.segments[i]
        slots = {name: value for name, value in state.items() if name != "step"}
        if not any(isinstance(value, Tensor) for value in slots.values()):
            # torch's SGD keeps {"momentum_buffer": None} until its first step.
            flat.t[i] = int(state.get("step", 0))
            return
        if slots.keys() != flat.slots.keys():
            raise ValueError(
                f"state of {segment.name} must have the slots of {self.kind} "
                f"({', '.join(flat.slots) or 'none'}), got {', '.join(slots) or 'none'}"
            )
        flat.t[i] = int(state.get("step", 1))
        for slot, buffer in flat.slots.items():
            segment.view(buffer).copy_(slots[slot])

    def _show_slots(self) -> None:
        """Let `state` show the slots: views, as torch's users expect to find them."""
        for flat in self.flats():
            for segment in flat.segments:
                self.state[segment.param] = {
                    slot: segment.view(buffer) for slot, buffer in flat.slots.items()
                }


def named_parameters(group: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    """Return (name, parameter) of each parameter of a param_group."""
    return list(zip(group["param_names"], group["params"], strict=True))
