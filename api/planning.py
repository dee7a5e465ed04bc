"""What a job would be: its plan, computed without running anything."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.spec.job import JobSpec
from jobs.spec.wire import LayerRow, LrBrief, Plan
from optcore.schedules.plan import SchedulePlan, plan
from optcore.spec.models import summarize


def plan_of(spec: JobSpec) -> Plan:
    """Return the plan of the job that *spec* describes."""
    known = plan(
        spec.schedule,
        lr=spec.optimizer.lr,
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
    )
    layers = summarize(spec.model.network(spec.dataset.num_classes), spec.dataset.shape)
    return Plan(
        spec=spec.model_dump(mode="json"),
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
        num_parameters=sum(layer.num_parameters for layer in layers),
        layers=[LayerRow.model_validate(layer, from_attributes=True) for layer in layers],
        lr=lr_brief(known),
        warnings=list(_warnings(spec, known)),
    )


def lr_brief(known: SchedulePlan) -> LrBrief:
    """Return the numbers of a schedule's plan."""
    return LrBrief(**{name: getattr(known, name) for name in LrBrief.model_fields})


def _warnings(spec: JobSpec, known: SchedulePlan) -> Iterator[str]:
    yield from known.warnings
    if not spec.schedule.uses_lr and "lr" in spec.optimizer.model_fields_set:
        yield (f"optimizer.lr: is not used, {spec.schedule.kind} gives the learning rates itself")
