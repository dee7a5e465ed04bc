"""What a job would be: its plan, computed without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from jobs.spec.job import JobSpec
from jobs.spec.wire import GroupRow, LayerRow, LrBrief, Plan
from optcore.schedules.make import make_schedule
from optcore.spec.models import summarize

BLOCK = 1_000_000
"""Steps whose lr is computed at a time."""


def plan_of(spec: JobSpec) -> Plan:
    """Return the plan of the job that *spec* describes."""
    layers = summarize(spec.model.network(spec.dataset.num_classes), spec.dataset.shape)
    return Plan(
        spec=spec.model_dump(mode="json"),
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
        num_parameters=sum(layer.num_parameters for layer in layers),
        layers=[LayerRow.model_validate(layer, from_attributes=True) for layer in layers],
        groups=list(_groups(spec)),
        lr=_lr(spec),
        warnings=list(_warnings(spec)),
    )


def _groups(spec: JobSpec) -> Iterator[GroupRow]:
    sizes = {parameter.name: prod(parameter.shape) for parameter in spec.parameters()}
    for group in spec.groups():
        yield GroupRow(
            match=group.match,
            kind=group.spec.kind,
            lr=group.spec.hyperparameters()["lr"] * group.lr_scale,
            weight_decay=group.spec.weight_decay,
            schedule=None if group.schedule is None else group.schedule.kind,
            parameters=group.names,
            num_parameters=sum(sizes[name] for name in group.names),
        )


def _lr(spec: JobSpec) -> LrBrief:
    schedule = make_schedule(
        spec.schedule,
        lr=spec.optimizer.lr,
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
    )
    peak, peak_step = -1.0, 0
    for start in range(0, spec.total_steps, BLOCK):
        lrs = schedule(np.arange(start, min(start + BLOCK, spec.total_steps)))
        at = int(lrs.argmax())
        if lrs[at] > peak:
            peak, peak_step = float(lrs[at]), start + at
    return LrBrief(
        first=schedule(0), peak=peak, peak_step=peak_step, last=schedule(spec.total_steps - 1)
    )


def _warnings(spec: JobSpec) -> Iterator[str]:
    yield from spec.schedule.warnings(
        total_steps=spec.total_steps, steps_per_epoch=spec.steps_per_epoch
    )
    if spec.schedule.kind == "piecewise" and "lr" in spec.optimizer.model_fields_set:
        yield "optimizer.lr: is not used, piecewise gives the learning rates itself"
