"""The parts of a checkpoint's state file, and gradients of a step that had begun."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from optcore.training.run import Run


def parts_of(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a state file, grouped by the first part of their dotted names."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def slots_of(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the optimizer's slots from a state file: slot -> parameter name -> tensor."""
    slots: dict[str, dict[str, Tensor]] = {}
    for name, tensor in parts_of(state).get("optimizer", {}).items():
        slot, _, parameter = name.partition(".")
        slots.setdefault(slot, {})[parameter] = tensor
    return slots


def restore_gradients(run: Run, gradients: Mapping[str, Tensor]) -> None:
    """Set the gradients of an unfinished step, in the memory format that autograd uses."""
    run.optimizer.zero_grad()
    for name, param in run.model.named_parameters():
        if name in gradients:
            param.grad = torch.empty_like(param, memory_format=torch.preserve_format)
            param.grad.copy_(gradients[name])
