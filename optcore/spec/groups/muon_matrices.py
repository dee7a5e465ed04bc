"""Divides the parameters of muon and mars: some are trained as matrices, the others by AdamW."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from optcore.spec.errors import Problem, SpecError
from optcore.spec.groups.globs import Globs, listed
from optcore.spec.groups.matching import Parameter
from optcore.spec.optimizers.adam import AdamW
from optcore.spec.optimizers.mars import Mars
from optcore.spec.optimizers.muon import Muon
from optcore.spec.optimizers.nadam import NAdam

if TYPE_CHECKING:
    from optcore.spec.groups.resolve import ResolvedGroup

MATRIX = 2
"""Number of dimensions of a matrix."""
MIN_SIDE, MAX_ASPECT = 4, 128
"""Smallest side of a matrix that timm trains by Muon, and largest ratio of its two sides."""


def is_matrix(spec: Muon, shape: Sequence[int]) -> bool:
    """Return whether muon, in the dialect of *spec*, trains a parameter of *shape* as a matrix."""
    if spec.dialect == "timm":
        return _suits_timm(shape)
    return len(shape) >= MATRIX if spec.dialect == "article" else len(shape) == MATRIX


def _suits_timm(shape: Sequence[int]) -> bool:
    """Return whether timm trains a parameter of *shape* by Muon (its _is_suitable_for_muon)."""
    if len(shape) < MATRIX or 1 in shape[:MATRIX]:
        return False
    sides = shape[0], prod(shape[1:])
    return min(sides) >= MIN_SIDE and max(sides) / min(sides) <= MAX_ASPECT


def by_shape(
    groups: Sequence[ResolvedGroup], parameters: Sequence[Parameter]
) -> Iterator[ResolvedGroup]:
    """Yield *groups*; muon and mars groups are split into matrices and parameters for AdamW."""
    shapes = {parameter.name: parameter.shape for parameter in parameters}
    # Groups have the globs of the optimizer unless they have their own.
    excluding: dict[tuple[str, ...], Globs] = {}
    for group in groups:
        if isinstance(group.spec, Mars) and not group.spec.optimize_1d:
            yield from _by_dimensions(group, group.spec, shapes)
            continue
        if not isinstance(group.spec, Muon):
            yield group
            continue
        # In the whole model: a group without a matrix, such as biases, is trained by AdamW alone.
        # (timm's muon accepts any model.)
        if group.spec.dialect != "timm" and not any(
            is_matrix(group.spec, shape) for shape in shapes.values()
        ):
            found = listed(group.names)
            message = f"muon needs a parameter of two dimensions, got only {found}"
            raise SpecError([Problem("kind", message)])
        globs = tuple(group.spec.exclude)
        if globs not in excluding:
            excluding[globs] = Globs(globs)
        yield from _matrices_and_others(group, group.spec, shapes, excluding[globs])


def _by_dimensions(
    group: ResolvedGroup, spec: Mars, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[ResolvedGroup]:
    others = [name for name in group.names if len(shapes[name]) < MATRIX]
    matrices = [name for name in group.names if len(shapes[name]) >= MATRIX]
    if matrices:
        yield replace(group, match=f"{group.match}: matrices", names=matrices)
    if others:
        adamw, scale = AdamW.parse(spec.adamw()), group.lr_scale * spec.lr_1d_scale
        yield replace(
            group, match=f"{group.match}: adamw", names=others, spec=adamw, lr_scale=scale
        )


def _matrices_and_others(
    group: ResolvedGroup, spec: Muon, shapes: Mapping[str, tuple[int, ...]], excluded: Globs
) -> Iterator[ResolvedGroup]:
    taken = {n: is_matrix(spec, shapes[n]) and n not in excluded for n in group.names}
    matrices = [name for name in group.names if taken[name]]
    others = [name for name in group.names if not taken[name]]
    if matrices:
        yield replace(group, match=f"{group.match}: matrices", names=matrices)
    if others:
        given = spec.adamw()
        adamw = (NAdam if given["kind"] == "nadam" else AdamW).parse(given)
        scale = group.lr_scale * spec.adamw_lr_scale
        yield replace(
            group, match=f"{group.match}: adamw", names=others, spec=adamw, lr_scale=scale
        )
