"""A single point, for functions to minimize."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.point import Point, Start
from optcore.spec.models.base import ModelSpec
from optcore.spec.tasks.tasks import Target


class SinglePoint(ModelSpec):
    """
    A point x, the only parameter (``point.x``), for datasets whose task is minimization.

    Such a dataset is a function to minimize: quadratic, rosenbrock or valley.
    """

    kind: Literal["point"]
    start: Start | None = None
    """The coordinates before the first step: a number for all, or a list of one for each; null for
    the usual start of the dataset's function."""

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the only layer, a point, with its start."""
        start = self.start
        if start is None:
            start = target.objective.start if target.objective is not None else 0.0
        return [_point(tuple(start) if isinstance(start, list) else start)]


@lru_cache(maxsize=64)
def _point(start: float | tuple[float, ...]) -> Point:
    given = list(start) if isinstance(start, tuple) else start
    return Point(kind="point", name="point", start=given)
