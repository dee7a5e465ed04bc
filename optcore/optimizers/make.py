"""Builds the ``torch.optim.Optimizer`` that a spec describes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor, nn

from optcore.optimizers.engine.group_update import GroupUpdate, compile_group
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.engine.transforms.clipping import GradScale, GradScales
from optcore.optimizers.lbfgs import LbfgsOptimizer
from optcore.optimizers.scheduled import BLOCK, MetricDrivenValue, Plan, ScheduledValue
from optcore.plan.sampling import sampled
from optcore.plan.values import check_scheduled
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.make import MetricDrivenSchedule, make_schedule, parse_schedule
from optcore.spec.duration import RunLength
from optcore.spec.errors import SpecError
from optcore.spec.groups.matching import Parameter
from optcore.spec.groups.resolve import ResolvedGroup, resolve_groups
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import AnyOptimizer
from optcore.spec.optimizers.clip import ClipGlobalNorm
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.run import RunSpec
from optcore.spec.weights import KerasEma

_parser: TypeAdapter[OptimizerSpec] = TypeAdapter(AnyOptimizer, config=ConfigDict(defer_build=True))


def make_optimizer(
    named_parameters: Iterable[tuple[str, Tensor]],
    spec: OptimizerSpec | Mapping[str, Any],
    *,
    modules: Mapping[str, str] | None = None,
    schedule: ScheduleSpec | Mapping[str, Any] | None = None,
    total_steps: int | None = None,
    steps_per_epoch: int = 1,
    loss_scale: float = 1.0,
    ema: KerasEma | Mapping[str, Any] | None = None,
) -> FlatOptimizer:
    """
    Return the optimizer that *spec* describes, for *named_parameters*.

    If the update rule is elementwise, the parameters become views of flat buffers. They keep their
    values. Parameters that require no gradient are left out.

    Args:
        named_parameters: names and parameters: ``model.named_parameters()``. A parameter that
            occurs twice (tied weights) is taken once, under its first name.
        spec: the optimizer, as in a job: ``{"kind": "adam", "lr": 1e-3, "dialect": "paddle"}``.
        modules: parameter name -> class name of the module that holds the parameter, for groups
            that are matched by module: ``module_types(model)``.
        schedule: the lr schedule for every group that has no schedule of its own:
            ``{"kind": "cosine"}``. In each group the schedule starts from the lr of the group.
        total_steps: the number of steps in the run; required if anything is scheduled.
        steps_per_epoch: the number of steps in an epoch, for durations given in epochs.
        loss_scale: the factor that the loss, and so every gradient, is multiplied by. The
            optimizer divides gradients by this factor before it clips them. If the factor is not 1,
            it may be changed between steps (`FlatOptimizer.loss_scale`).
        ema: a moving average of the parameters, for evaluation
            (`FlatOptimizer.averaged`): ``{"kind": "keras", "decay": 0.99}``.

    Raises:
        SpecError: *spec*, *schedule* or *ema* is invalid, a group matches no parameter, or a
            schedule takes a value that is out of range for its hyperparameter.
        ValueError: no parameter requires a gradient, a parameter has no real float dtype, or two
            parameters share memory.
        ValueError: *loss_scale* is not positive and finite, *total_steps* is None although
            something is scheduled, or *loss_scale* or *ema* is set for lbfgs.

    Examples:
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = make_optimizer(model.named_parameters(), {"kind": "adam"})
        >>> optimizer.param_groups[0]["lr"]
        0.001
    """
    parsed = parse(spec)
    everything = list(named_parameters)
    named = dict(_trainable(everything))
    of_lr = None if schedule is None else parse_schedule(schedule)
    average = None if ema is None else KerasEma.parse(ema)
    if not 0 < loss_scale < math.inf:
        raise ValueError(f"loss_scale must be positive and finite, got {loss_scale}")
    if isinstance(parsed, Lbfgs):
        _check_lbfgs(parsed, of_lr, loss_scale, average)
        # It has the interface of a FlatOptimizer, and torch's LBFGS as its base class.
        return LbfgsOptimizer(list(named.items()), parsed)  # type: ignore[return-value]
    groups = resolve_groups(parsed, _described(everything, named, modules or {}))
    length = None if total_steps is None else RunLength(total_steps, steps_per_epoch)
    plans = [_plans(group, of_lr, length, checked=False) for group in groups]
    return _assembled(named, parsed, groups, plans, loss_scale=loss_scale, ema=average)


def optimizer_of(
    named_parameters: Iterable[tuple[str, Tensor]],
    run: RunSpec,
    *,
    loss_scale: float,
    checked: bool = False,
) -> FlatOptimizer:
    """
    Return the optimizer of *run*, for the parameters of its network.

    The specs and the groups in *run* are used as they are: they are not parsed or resolved again.

    Args:
        named_parameters: names and parameters: ``model.named_parameters()``.
        run: the run.
        loss_scale: as in `make_optimizer`.
        checked: whether the values of the schedules have been checked (`optcore.plan.values`).

    Raises:
        SpecError: *checked* is false, and a schedule takes a value that is out of range.
    """
    named, spec = dict(_trainable(named_parameters)), run.optimizer
    if isinstance(spec, Lbfgs):
        return LbfgsOptimizer(list(named.items()), spec)  # type: ignore[return-value]
    groups = run.groups()
    plans = [_plans(group, run.schedule, run.length, checked=checked) for group in groups]
    average = run.training.keras_ema
    return _assembled(named, spec, groups, plans, loss_scale=loss_scale, ema=average)


def _assembled(
    named: Mapping[str, Tensor],
    spec: OptimizerSpec,
    groups: Sequence[ResolvedGroup],
    plans: Sequence[dict[str, Plan]],
    *,
    loss_scale: float,
    ema: KerasEma | None,
) -> FlatOptimizer:
    updates = [_update(group, named, loss_scale, ema) for group in groups]
    return FlatOptimizer(
        [
            (update, [(name, named[name]) for name in group.names])
            for update, group in zip(updates, groups, strict=True)
        ],
        kind=spec.kind,
        grad_scales=GradScales([_grad_scale(group, loss_scale) for group in groups]),
        plans=plans,
        clip_update=spec.clip_update,
    )


def parse(spec: OptimizerSpec | Mapping[str, Any]) -> OptimizerSpec:
    """Return *spec* as a validated `OptimizerSpec`; raise `SpecError` if it is invalid."""
    try:
        return _parser.validate_python(spec)
    except ValidationError as error:
        raise SpecError.of(error, spec) from None


def module_types(model: nn.Module) -> dict[str, str]:
    """Return parameter name -> class name of its module, for groups that are matched by module."""
    return {
        f"{path}.{name}" if path else name: type(module).__name__
        for path, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }


def _update(
    group: ResolvedGroup, named: Mapping[str, Tensor], loss_scale: float, ema: KerasEma | None
) -> GroupUpdate:
    single = all(named[name].dtype != torch.float64 for name in group.names)
    scaled = group.spec.hyperparameters()["lr"] * group.lr_scale
    size = sum(named[name].numel() for name in group.names)
    update = compile_group(
        group.spec, single_precision=single, size=size, loss_scale=loss_scale, ema=ema
    )
    # param_groups must show the lr in effect, so lr_scale is applied here. `_plans` applies it to a
    # scheduled lr.
    return replace(update, numbers={**update.numbers, "lr": scaled})


def _grad_scale(group: ResolvedGroup, loss_scale: float) -> GradScale:
    clip = group.spec.clip
    if not isinstance(clip, ClipGlobalNorm):
        return GradScale(loss_scale)
    return GradScale(loss_scale, clip.max, group.spec.clips_like_torch, group.normed_with)


def _plans(
    group: ResolvedGroup, schedule: ScheduleSpec | None, run: RunLength | None, *, checked: bool
) -> dict[str, Plan]:
    schedules: dict[str, ScheduleSpec] = dict(group.spec.schedules)
    of_lr = group.schedule or schedule
    if of_lr is not None:
        schedules["lr"] = of_lr
    plans: dict[str, Plan] = {}
    for name, moving in schedules.items():
        if run is None:
            raise ValueError(f"total_steps is needed for the schedule of {name}, got None")
        value = getattr(group.spec, name)
        made = make_schedule(
            moving, lr=value, total_steps=run.total_steps, steps_per_epoch=run.steps_per_epoch
        )
        factor = group.lr_scale if name == "lr" else 1.0
        if isinstance(made, MetricDrivenSchedule):
            plans[name] = MetricDrivenValue(made, factor)
        else:
            if not checked:
                param = f"schedule of {name}, group {group.match!r}"
                # Only a sample of the steps is checked here: the service checks more of them when
                # a job is posted (`optcore.plan.values`).
                steps = sampled(run.total_steps, BLOCK)
                check_scheduled(made, name, type(group.spec), steps, param, factor=factor)
            plans[name] = ScheduledValue(made, factor)
    return plans


def _check_lbfgs(
    spec: Lbfgs, schedule: ScheduleSpec | None, loss_scale: float, ema: KerasEma | None
) -> None:
    for name, given, wanted in (("loss_scale", loss_scale, 1.0), ("ema", ema, None)):
        if given != wanted:
            rule = f"must be {wanted} for lbfgs, since torch's LBFGS supports no other value"
            raise ValueError(f"{name} {rule}, got {given!r}")
    if schedule is None:
        return
    try:
        spec.check_schedule(schedule)
    except ValidationError as error:
        raise SpecError.of(error, None) from None


def _described(
    everything: Iterable[tuple[str, Tensor]],
    trainable: Mapping[str, Tensor],
    modules: Mapping[str, str],
) -> list[Parameter]:
    return [
        # The second name of a tied weight is left out: no group can match it.
        Parameter(name, tuple(param.shape), modules.get(name), param.requires_grad)
        for name, param in everything
        if name in trainable or not param.requires_grad
    ]


def _trainable(named_parameters: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    once: dict[Tensor, str] = {}
    for name, param in named_parameters:
        if param.requires_grad:
            once.setdefault(param, name)
    if not once:
        raise ValueError(
            "named_parameters must have a parameter that requires a gradient, got none"
        )
    owners: dict[int, str] = {}
    for param, name in once.items():
        if not param.is_floating_point():
            raise ValueError(f"{name} must have a real float dtype, got {param.dtype}")
        # In the flat buffer each name gets a place of its own, which would silently untie the two
        # parameters. All empty tensors have the address 0.
        owner = owners.setdefault(param.data_ptr(), name)
        if param.numel() and owner != name:
            raise ValueError(
                f"{name} must not share memory with {owner}; to tie weights, use one parameter "
                "twice"
            )
    return [(name, param) for param, name in once.items()]
