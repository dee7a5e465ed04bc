"""From an optimizer's spec to the torch.optim.Optimizer it means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from optcore.optimizers.adagrad import ADAGRAD
from optcore.optimizers.adam import ADAM
from optcore.optimizers.optimizer import FlatOptimizer
from optcore.optimizers.rmsprop import RMSPROP
from optcore.optimizers.rule import Rule
from optcore.optimizers.sgd import MOMENTUM, NESTEROV, SGD
from optcore.spec.errors import SpecError, problems
from optcore.spec.optimizers import AnyOptimizer, OptimizerSpec

RULES: dict[str, Rule] = {
    "adagrad": ADAGRAD,
    "adam": ADAM,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "rmsprop": RMSPROP,
    "sgd": SGD,
}
"""Every rule by the name of its optimizer."""

_parser: TypeAdapter[OptimizerSpec] = TypeAdapter(AnyOptimizer)


def make_optimizer(
    named_parameters: Iterable[tuple[str, Tensor]], spec: OptimizerSpec | Mapping[str, Any]
) -> FlatOptimizer:
    """
    Return the optimizer that *spec* says, for these parameters.

    The parameters become views of flat buffers; their values stay. Parameters that need no
    gradient are left out.

    Args:
        named_parameters: ``model.named_parameters()``. A parameter that comes twice (tied
            weights) is taken once.
        spec: as in a job: ``{"kind": "adam", "lr": 1e-3, "dialect": "paddle"}``.

    Raises:
        SpecError: the spec is wrong.
        ValueError: there is nothing to optimize, or two parameters share memory.

    Examples:
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = make_optimizer(model.named_parameters(), {"kind": "adam"})
        >>> optimizer.param_groups[0]["lr"]
        0.001
    """
    parsed = _parse(spec)
    named = _trainable(named_parameters)
    rule = RULES[parsed.kind]
    single_precision = all(param.dtype != torch.float64 for _, param in named)
    fused = rule.fused is not None and parsed.has_kernel()
    if parsed.engine == "auto":
        fused = fused and sum(param.numel() for _, param in named) >= rule.fused_from
    return FlatOptimizer(
        [{"params": named}],
        kind=parsed.kind,
        rule=rule,
        flags=parsed.flags(single_precision=single_precision),
        numbers=parsed.hyperparameters(),
        rounded=parsed.rounded(single_precision=single_precision),
        fused=fused and parsed.engine != "eager",
    )


def _parse(spec: OptimizerSpec | Mapping[str, Any]) -> OptimizerSpec:
    try:
        return _parser.validate_python(spec)
    except ValidationError as error:
        raise SpecError(problems(error.errors(include_url=False), spec)) from None


def _trainable(named_parameters: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    once: dict[Tensor, str] = {}
    for name, param in named_parameters:
        if param.requires_grad:
            once.setdefault(param, name)
    if not once:
        raise ValueError("there is no parameter to optimize: none requires a gradient")
    owners: dict[int, str] = {}
    for param, name in once.items():
        if not param.is_floating_point():
            raise ValueError(f"{name} must have a real float dtype, got {param.dtype}")
        owner = owners.setdefault(param.data_ptr(), name)
        if param.numel() and owner != name:
            raise ValueError(
                f"{name} shares the memory of {owner}; tie weights by using one parameter twice"
            )
    return [(name, param) for param, name in once.items()]
