"""
Which parameter is in which group: the first that matches, found in one pass over the groups.

Each group looks only at the parameters that those before it have left. Its globs are compiled once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate

from optcore.spec.groups.groups import WILDCARDS, Group, Match, as_match


@dataclass(frozen=True)
class Parameter:
    """
    The facts of a parameter that a group can match.

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


Fits = Callable[[Parameter], bool]


@dataclass(frozen=True)
class Taken:
    """
    The parameters of a group of a spec, or of one of several that its preset stands for.

    Attributes:
        index: of the group in the spec.
        group: what holds for them.
        parameters: at least one.
    """

    index: int
    group: Group
    parameters: list[Parameter]


@dataclass(frozen=True)
class Matched:
    """
    All parameters, dealt to the groups.

    Attributes:
        taken: in the order of the groups.
        unused: groups that have none, with what they stand for.
        rest: what no group has.
    """

    taken: list[Taken]
    unused: list[tuple[int, Group]] = field(default_factory=list)
    rest: list[Parameter] = field(default_factory=list)


class Globs:
    """
    Several globs, compiled: whether one of them fits a name.

    `fnmatch` itself would keep the last 32,768 of them, whosever they were.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        several = list(dict.fromkeys(globs))
        # Names without wildcards are looked up, so that a thousand of them need no regular
        # expression.
        self._names = {glob for glob in several if not any(mark in glob for mark in WILDCARDS)}
        self._fit = [re.compile(translate(g)).match for g in several if g not in self._names]

    def __contains__(self, name: str) -> bool:
        return name in self._names or any(fits(name) for fits in self._fit)


def match(groups: Sequence[Group], parameters: Sequence[Parameter]) -> Matched:
    """Return each of *parameters* in the first of *groups* that matches it."""
    left = list(parameters)
    taken: list[Taken] = []
    unused: list[tuple[int, Group]] = []
    for index, group in enumerate(groups):
        before = len(taken)
        first: Group | None = None
        # Of all parameters, not of those left: a layer's depth, and so its lr, must not depend on
        # the groups before.
        for rule, fits in _rules(group, parameters):
            first = first or rule
            found, left = _dealt(left, fits)
            if found:
                taken.append(Taken(index, rule, found))
            # Nothing is left to match: of 500 layer_decays, each would make a group per layer.
            if not left:
                break
        if len(taken) == before and first is not None:
            unused.append((index, first))
    return Matched(taken, unused, left)


def _dealt(parameters: Sequence[Parameter], fits: Fits) -> tuple[list[Parameter], list[Parameter]]:
    """Return those of *parameters* that fit, and the others."""
    found: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in parameters:
        (found if fits(parameter) else others).append(parameter)
    return found, others


def what_fits(group: Group) -> Fits:
    """Return what tells whether a parameter fits the match of *group*."""
    conditions = as_match(group.match)
    names, ndim = _several(conditions.name), conditions.ndim
    modules = _several(conditions.module)
    globs = None if names is None else Globs(names)
    return lambda parameter: (
        (globs is None or parameter.name in globs)
        and (ndim is None or len(parameter.shape) == ndim)
        and (modules is None or parameter.module in modules)
    )


def _several(value: str | list[str] | None) -> list[str] | None:
    return [value] if isinstance(value, str) else value


def _rules(group: Group, parameters: Sequence[Parameter]) -> Iterator[tuple[Group, Fits]]:
    """Yield *group*, a preset as what it stands for, each with what fits it."""
    if group.preset == "layer_decay":
        yield from _layers(group, parameters)
        return
    rules = [group]
    if group.preset == "no_decay_norm_bias":
        undecayed = (Match(name="*bias"), Match(ndim=1), Match(ndim=0))
        rules = [_without_decay(group, match) for match in undecayed]
    for rule in rules:
        yield rule, what_fits(rule)


def _without_decay(group: Group, match: Match) -> Group:
    data = {**group.overrides, "weight_decay": 0.0, "lr_scale": group.lr_scale}
    return Group(match=match, schedule=group.schedule, **data)


def _layers(group: Group, parameters: Sequence[Parameter]) -> Iterator[tuple[Group, Fits]]:
    """Yield a group per layer (what comes before a name's last dot), from the last to the first."""
    layers: dict[str, list[str]] = {}
    for parameter in parameters:
        layers.setdefault(parameter.name.rpartition(".")[0], []).append(parameter.name)
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


def _among(names: Sequence[str]) -> Fits:
    known = frozenset(names)
    return lambda parameter: parameter.name in known


def _literal(name: str) -> str:
    """Return the glob that fits *name* and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", name)
