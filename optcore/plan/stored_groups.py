"""
The JSON in which the groups of a run's parameters are stored.

When a job is accepted, its groups are resolved: each parameter is put into one group. The result is
stored with the job, and the worker reads it.

Of a group's optimizer, only the fields are stored that differ from the optimizer of the run.
Parameters are stored as ranges of positions in the network. A schedule is stored as the position,
in the spec, of the group that has the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optcore.spec.groups.groups import names_text
from optcore.spec.groups.resolve import ResolvedGroup
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.run import RunSpec
from optcore.spec.stored import read_stored

ALL = "all"
"""What `ResolvedGroup.match` is for all parameters in a job without groups."""
OF_ALL = ("groups", "order_params")
"""Fields of an optimizer that mean nothing in the spec of one group."""


def stored_groups(run: RunSpec) -> list[dict[str, Any]]:
    """Return the groups of *run* as JSON types, which `read_groups` reads."""
    positions = {parameter.name: i for i, parameter in enumerate(run.parameters())}
    base: dict[str, Any] = {}
    known: dict[int, dict[str, Any]] = {id(run.optimizer): {}}
    found = []
    for group in run.groups():
        # Many groups may share a spec: layer_decay makes one for each layer.
        # By identity: a comparison of specs would read all of their fields.
        if id(group.spec) not in known:
            base = base or _fields(run.optimizer)
            known[id(group.spec)] = _difference(_fields(group.spec), base)
        found.append(
            {
                **_named_parameters(group, positions),
                **known[id(group.spec)],
                **({} if group.lr_scale == 1 else {"lr_scale": group.lr_scale}),
                **({} if group.schedule is None else {"schedule": _giver(run, group)}),
                **({"normed_with": group.normed_with} if group.normed_with else {}),
            }
        )
    return found


def _named_parameters(group: ResolvedGroup, positions: Mapping[str, int]) -> dict[str, str]:
    if (group.match, group.names) == (ALL, list(positions)):
        return {}  # as in most jobs
    match = {} if group.match == names_text(group.names) else {"m": group.match}
    return {**match, "at": _ranges([positions[name] for name in group.names])}


def read_groups(stored: Sequence[Mapping[str, Any]], run: RunSpec) -> list[ResolvedGroup]:
    """Return the groups of *run* from *stored*, which `stored_groups` returned for this run."""
    names = [parameter.name for parameter in run.parameters()]
    base = _fields(run.optimizer) if any("set" in group for group in stored) else {}
    specs: dict[str, OptimizerSpec] = {}
    found = []
    for group in stored:
        own = _named(group["at"], names) if "at" in group else names
        found.append(
            ResolvedGroup(
                match=(group.get("m") or names_text(own)) if "at" in group else ALL,
                names=own,
                spec=_spec(group, run.optimizer, base, specs),
                lr_scale=group.get("lr_scale", 1.0),
                schedule=run.optimizer.groups[group["schedule"]].schedule
                if "schedule" in group
                else None,
                normed_with=group.get("normed_with", ""),
            )
        )
    return found


def _fields(spec: OptimizerSpec) -> dict[str, Any]:
    dumped = spec.model_dump(mode="json")
    return {name: value for name, value in dumped.items() if name not in OF_ALL}


def _difference(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    if own == base:
        return {}
    found: dict[str, Any] = {
        "set": {name: value for name, value in own.items() if base.get(name, ...) != value}
    }
    # A group may have an optimizer of another kind, which lacks fields of the run's.
    dropped = [name for name in base if name not in own]
    return {**found, "drop": dropped} if dropped else found


def _spec(
    group: Mapping[str, Any],
    optimizer: OptimizerSpec,
    base: Mapping[str, Any],
    specs: dict[str, OptimizerSpec],
) -> OptimizerSpec:
    if "set" not in group:
        return optimizer
    dropped = group.get("drop", [])
    # Groups with equal fields share a spec, as they do when a run resolves them itself.
    key = repr((group["set"], dropped))
    if key not in specs:
        fields = {n: v for n, v in base.items() if n not in dropped} | group["set"]
        specs[key] = read_stored(OPTIMIZERS[fields["kind"]], fields)
    return specs[key]


def _giver(run: RunSpec, group: ResolvedGroup) -> int:
    """Return the position in ``optimizer.groups`` of the entry with the schedule of *group*."""
    written = run.optimizer.groups
    return next(i for i, each in enumerate(written) if each.schedule is group.schedule)


def _ranges(positions: Sequence[int]) -> str:
    """Return *positions* as text: ``"0-2 5"`` for 0, 1, 2 and 5."""
    found: list[list[int]] = []
    for position in positions:
        if found and position == found[-1][-1] + 1:
            found[-1][1:] = [position]
        else:
            found.append([position])
    return " ".join("-".join(map(str, ends)) for ends in found)


def _named(ranges: str, names: Sequence[str]) -> list[str]:
    ends = [[int(end) for end in each.split("-")] for each in ranges.split()]
    return [name for each in ends for name in names[each[0] : each[-1] + 1]]
