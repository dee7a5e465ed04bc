"""The plan of a job, as `POST /v1/jobs/validate` returns it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from optcore.plan.rounding import rounded_durations
from optcore.plan.run_plan import RunPlan
from optcore.plan.schedule import SchedulePlan, plan_schedule
from optcore.plan.unused import unused_fields
from optcore.spec.networks.fit import network_warnings
from optserve.contract.answers.plans import (
    DatasetFacts,
    ExpectedTime,
    GroupSummary,
    LayerSummary,
    MemoryEstimate,
    Plan,
)
from optserve.contract.answers.schedules import LrSummary
from optserve.contract.requests.job import JobSpec


def plan_of(spec: JobSpec, times: list[ExpectedTime] | None = None) -> Plan:
    """Return the plan of the job that *spec* describes; *times* are its expected durations."""
    known = plan_schedule(
        spec.schedule,
        lr=spec.optimizer.lr,
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
    )
    plan = RunPlan.of(spec)
    return Plan(
        spec=spec.model_dump(mode="json"),
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
        columns=list(spec.columns),
        dataset=DatasetFacts.model_validate(plan.facts, from_attributes=True),
        num_parameters=plan.num_parameters,
        flops=plan.flops,
        layers=[LayerSummary.model_validate(layer, from_attributes=True) for layer in plan.layers],
        groups=list(_groups(spec, plan)),
        memory=MemoryEstimate.model_validate(plan.memory, from_attributes=True),
        expected_time=times,
        lr=lr_brief(known),
        warnings=list(_warnings(spec, known)),
    )


def _groups(spec: JobSpec, plan: RunPlan) -> Iterator[GroupSummary]:
    shapes = {parameter.name: parameter.shape for parameter in spec.parameters()}
    for group in plan.groups:
        yield GroupSummary(
            match=group.match,
            kind=group.spec.kind,
            lr=group.spec.hyperparameters()["lr"] * group.lr_scale,
            weight_decay=group.spec.weight_decay,
            l2=group.spec.l2,
            clip=None if group.spec.clip is None else group.spec.clip.model_dump(),
            schedule=None if group.schedule is None else group.schedule.kind,
            parameters=group.names,
            num_parameters=sum(prod(shapes[name]) for name in group.names),
            state_bytes=sum(group.spec.state_bytes(shapes[name]) for name in group.names),
        )


def lr_brief(known: SchedulePlan) -> LrSummary:
    """Return the summary of the learning rates in a schedule's plan."""
    return LrSummary(**{name: getattr(known, name) for name in LrSummary.model_fields})


def _warnings(spec: JobSpec, known: SchedulePlan) -> Iterator[str]:
    yield from known.warnings
    yield from rounded_durations(spec)
    yield from unused_fields(spec)
    yield from network_warnings(spec)
    if not spec.schedule.uses_lr and "lr" in spec.optimizer.model_fields_set:
        yield (f"optimizer.lr: is not used, {spec.schedule.kind} gives the learning rates itself")
