"""Which parameter is in which group, and what holds there: without tensors, so validate can."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import isfinite

from optcore.spec.errors import Problem, SpecError, did_you_mean
from optcore.spec.optimizers.adam import AdamW
from optcore.spec.optimizers.base import OptimizerSpec, float32
from optcore.spec.optimizers.clip import ClipGlobalNorm
from optcore.spec.optimizers.groups import Group, Match, as_match, shown_match
from optcore.spec.optimizers.matrices import Muon
from optcore.spec.schedules import AnySchedule

MATRIX = 2
"""Dimensions of a parameter that muon updates."""


@dataclass(frozen=True)
class Parameter:
    """
    What a group can ask of a parameter.

    Attributes:
        name: as in the model.
        shape: its dimensions.
        module: type of the module that owns it, if known.
        trainable: whether it takes a gradient.
    """

    name: str
    shape: tuple[int, ...]
    module: str | None = None
    trainable: bool = True


@dataclass(frozen=True)
class ResolvedGroup:
    """
    Parameters that are updated alike.

    Attributes:
        match: what they were found by, in words.
        names: their names.
        spec: everything that holds for them; its own groups do not.
        lr_scale: factor to the learning rate.
        schedule: of their lr, if it is not the run's.
        normed_with: what a global norm is of: the group of the spec, or everything that shares the
            optimizer's clip ("").
    """

    match: str
    names: list[str]
    spec: OptimizerSpec
    lr_scale: float = 1.0
    schedule: AnySchedule | None = None
    normed_with: str = ""


def resolve_groups(spec: OptimizerSpec, parameters: Sequence[Parameter]) -> list[ResolvedGroup]:
    """
    Return *parameters* in groups: each trainable one in exactly one, the first that matches.

    Args:
        spec: with the groups as a client says them.
        parameters: of the model, in its order.

    Raises:
        SpecError: a group matches nothing, or needs what is not known.
    """
    trainable = [parameter for parameter in parameters if parameter.trainable]
    rules = list(_with_paths(spec, trainable))
    undecayed = _undecayed_by_the_dialect(spec, trainable)
    homes: dict[int, list[Parameter]] = {}
    for parameter in trainable:
        home = next((i for i, (_, group) in enumerate(rules) if _fits(group, parameter)), -1)
        homes.setdefault(home, []).append(parameter)
    _check_used(rules, homes, parameters)
    _check_order(spec, parameters)
    _check_excluded(spec, parameters)
    resolved = [
        _resolved(spec, group, homes[i], path)
        for i, (path, group) in enumerate(rules)
        if i in homes
    ]
    if -1 in homes:
        resolved.append(_resolved(spec, None, homes[-1]))
    split = [part for group in resolved for part in _by_decay(group, undecayed)]
    return [part for group in split for part in _by_shape(group, parameters)]


def _fits(group: Group, parameter: Parameter) -> bool:
    match = as_match(group.match)
    names = _several(match.name)
    modules = _several(match.module)
    return (
        (names is None or any(fnmatchcase(parameter.name, glob) for glob in names))
        and (match.ndim is None or len(parameter.shape) == match.ndim)
        and (modules is None or parameter.module in modules)
    )


def _several(value: str | list[str] | None) -> list[str] | None:
    return [value] if isinstance(value, str) else value


def _with_paths(
    spec: OptimizerSpec, parameters: Sequence[Parameter]
) -> Iterator[tuple[str, Group]]:
    """Yield the groups that the client gave, presets as what they stand for."""
    for i, group in enumerate(spec.groups):
        path = f"groups[{i}]"
        if group.preset == "no_decay_norm_bias":
            for name in (Match(name="*bias"), Match(ndim=1), Match(ndim=0)):
                yield path, _without_decay(group, name)
        elif group.preset == "layer_decay":
            yield from ((path, part) for part in _layers(group, parameters))
        else:
            yield path, group


def _without_decay(group: Group, match: Match) -> Group:
    data = {**group.overrides, "weight_decay": 0.0, "lr_scale": group.lr_scale}
    return Group(match=match, schedule=group.schedule, **data)


def _layers(group: Group, parameters: Sequence[Parameter]) -> Iterator[Group]:
    """Yield a group per layer (what comes before a name's last dot), from the last to the first."""
    layers = list(dict.fromkeys(parameter.name.rpartition(".")[0] for parameter in parameters))
    for depth, layer in enumerate(reversed(layers)):
        names = [p.name for p in parameters if p.name.rpartition(".")[0] == layer]
        yield Group(
            match=Match(name=[_literal(name) for name in names]),
            lr_scale=group.lr_scale * group.factor**depth,
            schedule=group.schedule,
            **group.overrides,
        )


def _literal(name: str) -> str:
    """Return the glob that fits *name* and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _undecayed_by_the_dialect(spec: OptimizerSpec, parameters: Sequence[Parameter]) -> set[str]:
    """Return the names of the parameters that a framework leaves undecayed by itself."""
    parts = str(getattr(spec, "no_weight_decay_name", "")).split()
    found = {p.name for p in parameters if any(part in p.name for part in parts)}
    if getattr(spec, "one_dim_param_no_weight_decay", False):
        found |= {p.name for p in parameters if len(p.shape) == 1}
    decays = spec.weight_decay or "weight_decay" in spec.schedules
    if spec.dialect == "mindspore" and not spec.groups and decays:
        found |= {p.name for p in parameters if "beta" in p.name or "gamma" in p.name}
    return found


def _by_decay(group: ResolvedGroup, undecayed: set[str]) -> Iterator[ResolvedGroup]:
    """Yield *group*, first what *undecayed* names of it: everything else of the group holds."""
    exempt = [name for name in group.names if name in undecayed]
    others = [name for name in group.names if name not in undecayed]
    if exempt:
        yield replace(
            group,
            match=f"{group.match}: no weight decay",
            names=exempt,
            spec=group.spec.overridden({"weight_decay": 0.0}),
        )
    if others:
        yield replace(group, names=others)


def _resolved(
    spec: OptimizerSpec, group: Group | None, members: Sequence[Parameter], path: str = ""
) -> ResolvedGroup:
    names = [parameter.name for parameter in members]
    if group is None:
        return ResolvedGroup("the rest" if spec.groups else "all", names, spec.overridden({}))
    by_itself = isinstance(spec.clip, ClipGlobalNorm) and spec.clip.per_group
    own = spec.overridden(group.overrides)
    _check_scaled(own, group, path)
    return ResolvedGroup(
        shown_match(group),
        names,
        own,
        group.lr_scale,
        group.schedule,
        normed_with=path if by_itself or "clip" in group.overrides else "",
    )


def _check_scaled(spec: OptimizerSpec, group: Group, path: str) -> None:
    lr = spec.hyperparameters()["lr"]
    scaled, rule = lr * group.lr_scale, "must be a finite number"
    if "lr" in spec.rounded(single_precision=True):
        scaled = float32(scaled)
        rule += f" as a float32, which is what {spec.dialect} makes of it"
    if not isfinite(scaled):
        text = f"lr * lr_scale {rule}, got {lr} * {group.lr_scale} = {scaled}"
        raise SpecError([Problem(f"{path}.lr_scale", text)])


def _by_shape(group: ResolvedGroup, parameters: Sequence[Parameter]) -> Iterator[ResolvedGroup]:
    """Yield *group*; for muon what is a matrix, and what is left to AdamW."""
    if not isinstance(group.spec, Muon):
        yield group
        return
    shapes = {parameter.name: parameter.shape for parameter in parameters}
    exclude = group.spec.exclude
    matrices = [
        name
        for name in group.names
        if len(shapes[name]) == MATRIX and not any(fnmatchcase(name, glob) for glob in exclude)
    ]
    others = [name for name in group.names if name not in matrices]
    if all(len(shape) != MATRIX for shape in shapes.values()):
        found = _listed(group.names)
        message = f"muon needs a parameter of two dimensions, got only {found}"
        raise SpecError([Problem("kind", message)])
    if matrices:
        yield replace(group, match=f"{group.match}: matrices", names=matrices)
    if others:
        spec = AdamW.parse(group.spec.adamw())
        scale = group.lr_scale * group.spec.adamw_lr_scale
        yield replace(group, match=f"{group.match}: adamw", names=others, spec=spec, lr_scale=scale)


def _check_used(
    rules: Sequence[tuple[str, Group]],
    homes: Mapping[int, Sequence[Parameter]],
    parameters: Sequence[Parameter],
) -> None:
    used = {path for i, (path, _) in enumerate(rules) if i in homes}
    problems = []
    for path, group in rules:
        if path not in used:
            used.add(path)
            problems.append(Problem(f"{path}.match", _why_unused(group, parameters, rules)))
    if problems:
        raise SpecError(problems)


def _why_unused(
    group: Group, parameters: Sequence[Parameter], rules: Sequence[tuple[str, Group]]
) -> str:
    shown = shown_match(group)
    fitting = [parameter for parameter in parameters if _fits(group, parameter)]
    frozen = [parameter.name for parameter in fitting if not parameter.trainable]
    if fitting and len(frozen) == len(fitting):
        return (
            f"match must find a trainable parameter, got {shown!r}, which finds only frozen "
            f"ones: {', '.join(frozen)}"
        )
    if fitting:
        return (
            f"match must find a parameter that no earlier group has, got {shown!r}, whose "
            f"parameters are all in groups before it"
        )
    if as_match(group.match).module and all(p.module is None for p in parameters):
        return (
            f"match by module needs the types of the modules, got {shown!r}: give "
            "make_optimizer modules=optcore.module_types(model)"
        )
    names = [parameter.name for parameter in parameters]
    known = as_match(group.match).name
    near = did_you_mean(known, names) if isinstance(known, str) else ""
    return f"match must find a parameter, got {shown!r}{near} ({_listed(names)})"


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... {len(names)} in all"


def _check_excluded(spec: OptimizerSpec, parameters: Sequence[Parameter]) -> None:
    names = [parameter.name for parameter in parameters]
    given = {"": getattr(spec, "exclude", [])}
    given |= {f"groups[{i}].": g.overrides.get("exclude", []) for i, g in enumerate(spec.groups)}
    problems = [
        Problem(
            f"{path}exclude[{i}]",
            f"exclude must find a parameter, got {glob!r}{did_you_mean(glob, names)} "
            f"({_listed(names)})",
        )
        for path, globs in given.items()
        for i, glob in enumerate(globs)
        if not any(fnmatchcase(name, glob) for name in names)
    ]
    if problems:
        raise SpecError(problems)


def _check_order(spec: OptimizerSpec, parameters: Sequence[Parameter]) -> None:
    if spec.order_params is None:
        return
    frozen = {parameter.name for parameter in parameters if not parameter.trainable}
    trainable = [parameter.name for parameter in parameters if parameter.trainable]
    problems = []
    for i, name in enumerate(spec.order_params):
        path = f"order_params[{i}]"
        if name in frozen:
            problems.append(
                Problem(path, f"order_params must name trainable parameters, got {name!r}: frozen")
            )
        elif name not in trainable:
            near = did_you_mean(name, trainable)
            problems.append(Problem(path, f"order_params must name parameters, got {name!r}{near}"))
        elif name in spec.order_params[:i]:
            problems.append(Problem(path, f"order_params must name {name!r} once, got it twice"))
    missing = [name for name in trainable if name not in spec.order_params]
    if missing and not problems:
        problems.append(
            Problem(
                "order_params",
                f"order_params must name every parameter, got none of {', '.join(missing)}",
            )
        )
    if problems:
        raise SpecError(problems)
