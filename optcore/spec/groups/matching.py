"""
Assign each parameter to the first group that matches it, in one pass over the groups.

A group is compared only with parameters that no earlier group matched; names without wildcards are
looked up. Globs are made ready once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from optcore.spec.groups.globs import Globs
from optcore.spec.groups.groups import Group, Match


@dataclass(frozen=True)
class Parameter:
    """
    The properties of a parameter on which its assignment to a group depends.

    Attributes:
        name: name in the model.
        shape: shape of the parameter.
        module: type of the module that contains the parameter, if known.
        trainable: whether the parameter gets a gradient; if not, it is in no group.
        layer: name of the parameter's layer, as the preset layer_decay counts layers. None if this
            is the part of the parameter's name before the last dot.
    """

    name: str
    shape: tuple[int, ...]
    module: str | None = None
    trainable: bool = True
    layer: str | None = None


NORMS = ["layer_norm", "rms_norm"]
"""Layers whose weights, over images, have several dimensions."""
UNDECAYED = (Match(name="*bias"), Match(ndim=1), Match(ndim=0), Match(module=NORMS))
"""What the preset no_decay_norm_bias matches."""
Find = Callable[[Mapping[str, Parameter]], Iterable[str]]
"""Returns the names of those parameters, of a mapping by name, that belong to a group."""


@dataclass(frozen=True)
class Taken:
    """
    A group, and the parameters assigned to it.

    Attributes:
        index: index of the group in the spec.
        group: the group with that index, or one of the groups that its preset expands to.
        parameters: the parameters in the group, at least one.
    """

    index: int
    group: Group
    parameters: list[Parameter]


@dataclass(frozen=True)
class Matched:
    """
    The assignment of all parameters to groups.

    Attributes:
        taken: groups with their parameters, in the order of the spec.
        unused: (index, group) for each group without parameters. A group with a preset is replaced
            by the first of the groups that the preset expands to.
        rest: parameters in no group.
    """

    taken: list[Taken]
    unused: list[tuple[int, Group]] = field(default_factory=list)
    rest: list[Parameter] = field(default_factory=list)


def match(
    groups: Sequence[Group], parameters: Sequence[Parameter], *, all_unused: bool = True
) -> Matched:
    """
    Return the assignment of *parameters* to *groups*: each to the first group that matches.

    Unless *all_unused*, the groups after the first one without parameters are left out.
    """
    left = {parameter.name: parameter for parameter in parameters}
    place = {name: i for i, name in enumerate(left)}
    taken: list[Taken] = []
    unused: list[tuple[int, Group]] = []
    for index, group in enumerate(groups):
        before = len(taken)
        first: Group | None = None
        # Made from all parameters, not from those left: a layer's depth, and so its lr, must not
        # depend on the groups before.
        for rule, find in _rules(group, parameters):
            first = first or rule
            names = sorted(find(left), key=place.__getitem__)
            if names:
                taken.append(Taken(index, rule, [left.pop(name) for name in names]))
            # Nothing is left to match, and each of 500 layer_decays would make a group per layer.
            if not left:
                break
        if len(taken) == before and first is not None:
            unused.append((index, first))
            if not all_unused:
                break
    return Matched(taken, unused, list(left.values()))


def fitting(group: Group, parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the names of those *parameters* that meet the conditions of *group*, in any order."""
    match = group.match
    if not isinstance(match, Match):
        return list(parameters if match is None else Globs([match]).among(parameters))
    globs, ndim, kinds = _several(match.name), match.ndim, _several(match.module)
    modules = None if kinds is None else frozenset(kinds)
    return [
        name
        for name in (parameters if globs is None else Globs(globs).among(parameters))
        if (ndim is None or len(parameters[name].shape) == ndim)
        and (modules is None or parameters[name].module in modules)
    ]


def _several(value: str | list[str] | None) -> list[str] | None:
    return [value] if isinstance(value, str) else value


def _rules(group: Group, parameters: Sequence[Parameter]) -> Iterator[tuple[Group, Find]]:
    """
    Yield (group, find) for *group*, or for each group that the preset of *group* expands to.

    find is a function that returns the names of the parameters that belong to the group.
    """
    if group.preset == "layer_decay":
        yield from _layers(group, parameters)
        return
    # One by one, as nothing may be left after the first.
    matches = UNDECAYED if group.preset == "no_decay_norm_bias" else (None,)
    for match in matches:
        rule = group if match is None else _without_decay(group, match)
        yield rule, partial(fitting, rule)


def _without_decay(group: Group, match: Match) -> Group:
    data = {**group.overrides, "weight_decay": 0.0, "lr_scale": group.lr_scale}
    return Group(match=match, schedule=group.schedule, **data)


def _layers(group: Group, parameters: Sequence[Parameter]) -> Iterator[tuple[Group, Find]]:
    """
    Yield (group, find) for each layer, the last layer first.

    find returns the names of the layer's parameters. A residual or parallel block, or a copy of a
    repeat, is one layer (`Parameter.layer`).
    """
    layers: dict[str, list[str]] = {}
    for parameter in parameters:
        layer = parameter.layer or parameter.name.rpartition(".")[0]
        layers.setdefault(layer, []).append(parameter.name)
    for depth, names in enumerate(reversed(layers.values())):
        rule = Group(
            # Not validated: the names are the model's own, to which the limits of a client's globs
            # do not apply, and an escaped `*` counts as two wildcards.
            match=Match.model_construct(name=[_literal(name) for name in names]),
            lr_scale=group.lr_scale * group.factor**depth,
            schedule=group.schedule,
            **group.overrides,
        )
        yield rule, _among(names)


def _among(names: Sequence[str]) -> Find:
    return lambda parameters: [name for name in names if name in parameters]


def _literal(name: str) -> str:
    """Return the glob that matches *name* and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", name)
