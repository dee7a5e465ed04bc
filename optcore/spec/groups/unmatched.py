"""Errors about groups, globs (field ``exclude``) and names (``order_params``) without a match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from optcore.spec.base import value_of
from optcore.spec.errors import Mistakes, did_you_mean, short_repr
from optcore.spec.groups.globs import Globs, listed
from optcore.spec.groups.groups import Group, as_match, match_text
from optcore.spec.groups.matching import Parameter, fitting
from optcore.spec.optimizers.base import OptimizerSpec


def check_used(
    unused: Sequence[tuple[int, Group]], parameters: Sequence[Parameter], most: int
) -> None:
    """
    Raise `SpecError` about the groups without parameters (*unused*), if there are any.

    At most *most* of them get a message, which takes a millisecond: it names similar parameters.
    """
    mistakes = Mistakes(most)
    for index, group in unused:
        mistakes.add(f"groups[{index}].match", partial(_why_unused, group, parameters))
    mistakes.tell()


def check_excluded(spec: OptimizerSpec, parameters: Sequence[Parameter], most: int) -> None:
    """
    Raise `SpecError` about globs in ``exclude`` (of muon) that match no parameter, if any.

    At most *most* of them get a message.
    """
    names = {parameter.name: None for parameter in parameters}
    given: Mapping[str, Sequence[str]] = {
        "": value_of(spec, "exclude", []),
        **{f"groups[{i}].": g.overrides.get("exclude", []) for i, g in enumerate(spec.groups)},
    }
    mistakes = Mistakes(most)
    known: dict[str, bool] = {}
    for path, globs in given.items():
        for i, glob in enumerate(globs):
            # Groups may repeat each other's globs: each is compiled and tried once.
            if glob not in known:
                known[glob] = bool(Globs([glob]).among(names))
            if not known[glob]:
                mistakes.add(f"{path}exclude[{i}]", partial(_why_not_excluded, glob, [*names]))
    mistakes.tell()


def check_order(spec: OptimizerSpec, parameters: Sequence[Parameter], most: int) -> None:
    """
    Raise `SpecError` if the field ``order_params`` does not name each trained parameter once.

    At most *most* of its mistakes get a message.
    """
    if spec.order_params is None:
        return
    trainable = {parameter.name: parameter.trainable for parameter in parameters}
    mistakes = Mistakes(most)
    seen: set[str] = set()
    for i, name in enumerate(spec.order_params):
        if not trainable.get(name) or name in seen:
            mistakes.add(f"order_params[{i}]", partial(_why_not_ordered, name, trainable))
        seen.add(name)
    missing = [name for name, takes_part in trainable.items() if takes_part and name not in seen]
    # A misspelt name also leaves a name missing, but this is one mistake.
    if missing and not mistakes:
        mistakes.add(
            "order_params",
            lambda: f"order_params must name every parameter, got a list without {listed(missing)}",
        )
    mistakes.tell()


def _why_unused(group: Group, parameters: Sequence[Parameter]) -> str:
    match = match_text(group)
    found = {*fitting(group, {parameter.name: parameter for parameter in parameters})}
    frozen = [p.name for p in parameters if p.name in found and not p.trainable]
    if found and len(frozen) == len(found):
        return (
            f"match must find a trainable parameter, got {match!r}, which finds only frozen "
            f"ones: {listed(frozen)}"
        )
    if found:
        return (
            f"match must find a parameter that no earlier group has, got {match!r}, whose "
            f"parameters are all in groups before it"
        )
    if as_match(group.match).module and all(p.module is None for p in parameters):
        return (
            f"match by module needs the types of the modules, got {match!r}: pass "
            "modules=optcore.optimizers.make.module_types(model) to make_optimizer"
        )
    names = [parameter.name for parameter in parameters]
    known = as_match(group.match).name
    near = did_you_mean(known, names) if isinstance(known, str) else ""
    return f"match must find a parameter, got {match!r}{near} ({listed(names)})"


def _why_not_excluded(glob: str, names: Sequence[str]) -> str:
    near = did_you_mean(glob, names)
    return f"exclude must find a parameter, got {short_repr(glob)}{near} ({listed(names)})"


def _why_not_ordered(name: str, trainable: Mapping[str, bool]) -> str:
    if name not in trainable:
        near = did_you_mean(name, [known for known, takes_part in trainable.items() if takes_part])
        return f"order_params must name parameters, got {short_repr(name)}{near}"
    if not trainable[name]:
        return f"order_params must name trainable parameters, got {short_repr(name)}, a frozen one"
    return f"order_params must name {short_repr(name)} once, got it twice"
