"""Resolve the groups in a spec: find the settings of each parameter, without tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import value_of
from optcore.spec.errors import MOST_PROBLEMS, Problem, SpecError
from optcore.spec.groups.groups import Group, match_text
from optcore.spec.groups.matching import Parameter, Taken, match
from optcore.spec.groups.muon_matrices import by_shape
from optcore.spec.groups.unmatched import check_excluded, check_order, check_used
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.clip import ClipGlobalNorm
from optcore.spec.optimizers.rounded import float32
from optcore.spec.optimizers.state_bits import EMBEDDINGS, StateBitsSpec


@dataclass(frozen=True)
class ResolvedGroup:
    """
    A group of parameters that are updated in the same way.

    Attributes:
        match: short text that describes, for people, which parameters are in the group.
        names: names of the parameters.
        spec: the optimizer with the hyperparameters of this group; its field ``groups`` is ignored.
        lr_scale: factor that multiplies the learning rate.
        schedule: schedule of the group's lr; None for the schedule of the run.
        normed_with: name of the global norm, for clipping, that includes the gradients of this
            group. A group in the spec has a norm of its own if it has a clip of its own, or if the
            optimizer's clip has *per_group*. The name is then the path of the group in the spec,
            such as ``groups[0]``. All other groups have one norm in common, with the name "".
    """

    match: str
    names: list[str]
    spec: OptimizerSpec
    lr_scale: float = 1.0
    schedule: AnySchedule | None = None
    normed_with: str = ""


def resolve_groups(
    spec: OptimizerSpec, parameters: Sequence[Parameter], *, most_told: int = MOST_PROBLEMS
) -> list[ResolvedGroup]:
    """
    Return *parameters* in groups: each trainable parameter in the first group that matches it.

    Parameters that no group matches are the last group. A group is split if the optimizer treats
    its parameters differently: muon, for example, treats matrices and other parameters differently.

    Args:
        spec: the optimizer, with the groups as a client wrote them.
        parameters: the parameters of the model, in the model's order.
        most_told: largest number of mistakes that the error describes.

    Raises:
        SpecError: in one of these cases. A group, or a glob in exclude, matches no parameter. The
            types of modules are not known, but a group matches by module, or embeddings_32bit is
            true. order_params does not name every trainable parameter once. lr * lr_scale
            overflows. muon finds no matrix in the model.
    """
    trainable = [parameter for parameter in parameters if parameter.trainable]
    undecayed = _undecayed_by_the_dialect(spec, trainable)
    matched = match(spec.groups, trainable, all_unused=most_told > 1)
    # Frozen parameters too, so that a message can say that a match finds only frozen ones.
    check_used(matched.unused, parameters, most_told)
    check_order(spec, parameters, most_told)
    check_excluded(spec, parameters, most_told)
    resolved = [_resolved(spec, taken) for taken in matched.taken]
    if matched.rest:
        resolved.append(_rest(spec, matched.rest))
    # Each group is split. One group without decay in front of all others would take parameters out
    # of the client's groups: a bias in a slow backbone would learn at full speed.
    split = [part for group in resolved for part in _by_decay(group, undecayed)]
    split = [part for group in split for part in _by_state_bits(group, parameters)]
    return list(by_shape(split, trainable))


def _undecayed_by_the_dialect(spec: OptimizerSpec, parameters: Sequence[Parameter]) -> set[str]:
    """Return the names of the parameters to which the framework applies no weight decay."""
    parts = str(value_of(spec, "no_weight_decay_name", "")).split()
    found = {p.name for p in parameters if any(part in p.name for part in parts)}
    if value_of(spec, "one_dim_param_no_weight_decay", False):
        found |= {p.name for p in parameters if len(p.shape) == 1}
    decays = spec.weight_decay or "weight_decay" in spec.schedules
    # With groups MindSpore ignores names. Where nothing decays, no group is split.
    if spec.dialect == "mindspore" and not spec.groups and decays:
        found |= {p.name for p in parameters if "beta" in p.name or "gamma" in p.name}
    return found


def _by_decay(group: ResolvedGroup, undecayed: set[str]) -> Iterator[ResolvedGroup]:
    """Yield *group* in two parts: parameters in *undecayed*, without weight decay, and the rest."""
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


def _by_state_bits(
    group: ResolvedGroup, parameters: Sequence[Parameter]
) -> Iterator[ResolvedGroup]:
    """Yield *group* in two parts if embeddings keep 32-bit slots: embeddings, and the rest."""
    if not (isinstance(group.spec, StateBitsSpec) and group.spec.embeddings_32bit):
        yield group
        return
    if all(parameter.module is None for parameter in parameters):
        message = (
            "embeddings_32bit needs the types of the modules, got true without them: pass "
            "modules=optcore.optimizers.make.module_types(model) to make_optimizer"
        )
        raise SpecError([Problem("embeddings_32bit", message)])
    known = {parameter.name for parameter in parameters if parameter.module in EMBEDDINGS}
    wide = [name for name in group.names if name in known]
    others = [name for name in group.names if name not in known]
    if wide:
        spec = group.spec.overridden({"state_bits": 32})
        yield replace(group, match=f"{group.match}: embeddings", names=wide, spec=spec)
    if others:
        yield replace(group, names=others)


def _resolved(spec: OptimizerSpec, taken: Taken) -> ResolvedGroup:
    group, path = taken.group, f"groups[{taken.index}]"
    by_itself = isinstance(spec.clip, ClipGlobalNorm) and spec.clip.per_group
    own = spec.of_group(taken.index, group)
    _check_scaled(own, group, path)
    return ResolvedGroup(
        match_text(group),
        _names(taken.parameters),
        own,
        group.lr_scale,
        group.schedule,
        normed_with=path if by_itself or "clip" in group.overrides else "",
    )


def _rest(spec: OptimizerSpec, parameters: Sequence[Parameter]) -> ResolvedGroup:
    match = "the rest" if spec.groups else "all"
    return ResolvedGroup(match, _names(parameters), spec.overridden({}))


def _names(parameters: Sequence[Parameter]) -> list[str]:
    return [parameter.name for parameter in parameters]


def _check_scaled(spec: OptimizerSpec, group: Group, path: str) -> None:
    lr = spec.hyperparameters()["lr"]
    scaled, rule = lr * group.lr_scale, "must be a finite number"
    if "lr" in spec.rounded(single_precision=True):
        # The product may overflow although both factors are float32 numbers.
        scaled = float32(scaled)
        rule += f" when {spec.dialect} rounds it to float32"
    if not isfinite(scaled):
        text = f"lr * lr_scale {rule}, got {lr} * {group.lr_scale} = {scaled}"
        raise SpecError([Problem(f"{path}.lr_scale", text)])


def displayed_group(groups: Sequence[ResolvedGroup], lr: float) -> int:
    """Return the index of the first group with the run's schedule and *lr*; 0 if there is none."""
    for i, group in enumerate(groups):
        if (
            group.schedule is None
            and group.lr_scale == 1
            and group.spec.hyperparameters()["lr"] == lr
        ):
            return i
    return 0
