"""The plan of a job, as `POST /v1/jobs/validate` returns it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from api.http.thread_pool import VALUES_PER_BYTE
from optcore.plan.memory.memory import state_bytes
from optcore.plan.rounding import rounded_durations
from optcore.plan.run_plan import RunPlan
from optcore.plan.schedule import SchedulePlan, plan_schedule
from optcore.plan.unused import unused_fields
from optcore.plan.values import CACHE_SIZE, MAX_CACHED_ENTRIES
from optcore.schedules.base import ScheduleSpec
from optcore.spec.duration import RunLength
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
    known = _known(spec)
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
        frozen=[each.name for each in spec.parameters() if not each.trainable],
        num_frozen=spec.num_frozen,
        memory=MemoryEstimate.model_validate(plan.memory, from_attributes=True),
        expected_time=times,
        lr=lr_brief(known),
        warnings=list(_warnings(spec, known)),
    )


def checking_cost(spec: JobSpec) -> int:
    """
    Return the cost of checking the schedules in *spec*.

    The unit is the time that parsing one byte of JSON takes.
    """
    return sum(each.schedule.cost(spec.length) for each in spec.scheduled()) // VALUES_PER_BYTE


def plan_text(spec: JobSpec, times: list[ExpectedTime] | None, known: Sequence[str] = ()) -> str:
    """Return the plan of *spec* as JSON, with the warnings *known* after the plan's own."""
    plan = plan_of(spec, times)
    return plan.model_copy(update={"warnings": [*plan.warnings, *known]}).model_dump_json()


@dataclass(frozen=True)
class _Planned:
    """
    All that the plan of a schedule depends on. Equal objects have equal plans.

    Two objects are compared by *text*, not by *schedule*, since a schedule may hold lists, which
    have no hash.

    The text does not tell whether the durations in the schedule are rounded to whole steps. It need
    not: only jobs of release 0.2.0 have rounded durations, and a request has none.
    """

    text: str
    lr: float
    run: RunLength
    schedule: ScheduleSpec = field(compare=False)


def _known(spec: JobSpec) -> SchedulePlan:
    """Return the plan of the schedule in *spec*."""
    schedule, lr = spec.schedule, spec.optimizer.lr
    # Not those with long lists, which would stay in memory.
    if schedule.num_entries() > MAX_CACHED_ENTRIES:
        return _plan(_Planned("", lr, spec.length, schedule))
    return _plan_once(_Planned(str(schedule), lr, spec.length, schedule))


def _plan(it: _Planned) -> SchedulePlan:
    total, epoch = it.run.total_steps, it.run.steps_per_epoch
    return plan_schedule(it.schedule, lr=it.lr, total_steps=total, steps_per_epoch=epoch)


# Most jobs have one of a few schedules, and the values of a million steps take tens of
# milliseconds.
_plan_once = lru_cache(maxsize=CACHE_SIZE)(_plan)


def _groups(spec: JobSpec, plan: RunPlan) -> Iterator[GroupSummary]:
    shapes = spec.shapes
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
            state_bytes=state_bytes(group, shapes),
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
