"""
Encodes previews of schedules as JSON, CSV or SVG.

A preview may have half a million numbers, so it is encoded in parts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from api.jobs.plan import lr_brief
from optcore.plan.preview import PreviewSpec
from optcore.plan.sampling import require_finite
from optcore.plan.schedule import SchedulePlan, plan_schedule
from optcore.schedules.make import make_schedule
from optcore.schedules.picture import svg_parts
from optserve.contract.answers.schedules import PreviewedLr, SchedulePreview

VALUES_AT_ONCE = 8192
"""Number of values encoded at a time."""


@dataclass(frozen=True)
class Curve:
    """
    The learning rate at every step, for one parameter group or for the parameters in no group.

    Attributes:
        name: the name of the parameter group; ``lr`` for the parameters in no group.
        values: the learning rates, one per step.
        known: the summary of the learning rates, with peak, area and warnings.
    """

    name: str
    values: NDArray[np.float64]
    known: SchedulePlan


def curves_of(spec: PreviewSpec) -> list[Curve]:
    """
    Return the curves of the preview that *spec* requests.

    The first curve is for the parameters in no group. A curve for each parameter group follows.

    Raises:
        SpecError: a curve has a value that is not finite.
    """
    total, per_epoch = spec.total_steps, spec.steps_per_epoch
    steps = np.arange(total)
    found = []
    for i, (name, schedule, lr) in enumerate(spec.curves()):
        with np.errstate(all="ignore"):  # non-finite values raise an error below
            made = make_schedule(schedule, lr=lr, total_steps=total, steps_per_epoch=per_epoch)
            values = made(steps)
        own = i > 0 and spec.groups[i - 1].schedule is not None
        require_finite(values, steps, f"groups[{i - 1}].schedule" if own else "schedule")
        known = plan_schedule(
            schedule, lr=lr, total_steps=total, steps_per_epoch=per_epoch, values=values
        )
        found.append(Curve(name, values, known))
    return found


def as_json(spec: PreviewSpec, curves: list[Curve]) -> Iterator[str]:
    """Yield a `SchedulePreview` as JSON, in parts."""
    whole, *groups = curves
    known = dict(_summary(whole))
    empty = SchedulePreview(**known, total_steps=spec.total_steps, groups=[])
    text, _, end = empty.model_dump_json().rpartition('"groups":[]')
    yield from _with_values(text, whole)
    yield '"groups":['
    for i, group in enumerate(groups):
        yield "," if i else ""
        yield from _with_values(_summary(group).model_dump_json(), group)
    yield f"]{end}"


def as_csv(spec: PreviewSpec, curves: list[Curve]) -> Iterator[str]:
    """
    Yield the CSV in parts: first the header, then many lines at a time.

    A line has the learning rates of one step. In the header, a name that contains a comma or a
    quote is quoted.
    """
    head = io.StringIO()
    names = [curve.name for curve in curves]
    csv.writer(head, lineterminator="\n").writerow(["step", *names])
    yield head.getvalue()
    rows = max(1, VALUES_AT_ONCE // len(curves))
    for start in range(0, spec.total_steps, rows):
        # tolist gives Python's floats: the repr of numpy's is np.float64(0.1).
        columns = [map(repr, curve.values[start : start + rows].tolist()) for curve in curves]
        steps = map(str, range(start, min(start + rows, spec.total_steps)))
        yield "".join(f"{','.join(row)}\n" for row in zip(steps, *columns, strict=True))


def as_svg(spec: PreviewSpec, curves: list[Curve]) -> Iterator[str]:
    """Yield an SVG picture of the curves, in parts."""
    title = f"{spec.schedule.kind}, {spec.total_steps} steps"
    yield from svg_parts({curve.name: curve.values for curve in curves}, title=title)


def _summary(curve: Curve) -> PreviewedLr:
    """Return the summary of *curve*, with an empty list instead of the values."""
    known = curve.known
    return PreviewedLr(name=curve.name, lr=[], warnings=known.warnings, **dict(lr_brief(known)))


def _with_values(text: str, curve: Curve) -> Iterator[str]:
    """Yield the JSON *text*, with the values of *curve* inserted into its empty ``lr`` list."""
    # The first match is that list: if a name contains this text, its quotes are escaped.
    begin, _, end = text.partition('"lr":[]')
    yield f'{begin}"lr":['
    for start in range(0, len(curve.values), VALUES_AT_ONCE):
        some = to_json(curve.values[start : start + VALUES_AT_ONCE].tolist()).decode()
        yield ("," if start else "") + some[1:-1]
    yield f"]{end}"
