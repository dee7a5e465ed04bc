"""Previews: a schedule seen before it runs, as numbers or as a picture."""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Header, Query, Response
from numpy.typing import NDArray

from api.negotiation import preferred
from api.planning import lr_brief
from api.problems import documented
from jobs.errors import NotAcceptable
from jobs.spec.preview import PreviewedLr, SchedulePreview
from optcore.schedules.make import make_schedule
from optcore.schedules.picture import svg
from optcore.schedules.plan import plan, require_finite
from optcore.spec.schedules.preview import PreviewSpec

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

Curves = dict[str, NDArray[np.float64]]


class Form(StrEnum):
    """What an answer may be."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"


MEDIA_TYPES = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.SVG: "image/svg+xml",
}


def _content() -> dict[int | str, dict[str, Any]]:
    others = {MEDIA_TYPES[form]: {"schema": {"type": "string"}} for form in (Form.CSV, Form.SVG)}
    return {200: {"model": SchedulePreview, "content": others}}


@router.post("/preview", responses={**_content(), **documented(NotAcceptable)})
def preview_schedule(
    spec: PreviewSpec,
    accept: Annotated[str, Header()] = "",
    form: Annotated[Form | None, Query(alias="format", description="Instead of Accept.")] = None,
) -> Response:
    """
    Return lr at every step of a run, for the schedule and for each group; run nothing.

    As JSON with peak, area, warmup share and warnings; as CSV with a column per group; as an SVG
    picture. `Accept` chooses, or `?format=`.
    """
    chosen = form or preferred(accept, MEDIA_TYPES)
    curves = _curves(spec)
    body = {Form.JSON: _json, Form.CSV: _csv, Form.SVG: _svg}[chosen](spec, curves)
    return Response(body, media_type=MEDIA_TYPES[chosen], headers={"Vary": "Accept"})


def _curves(spec: PreviewSpec) -> Curves:
    steps = np.arange(spec.total_steps)
    found: Curves = {}
    for i, (name, schedule, lr) in enumerate(spec.curves()):
        made = make_schedule(
            schedule, lr=lr, total_steps=spec.total_steps, steps_per_epoch=spec.steps_per_epoch
        )
        with np.errstate(all="ignore"):
            found[name] = made(steps)
        own = i > 0 and spec.groups[i - 1].schedule is not None
        require_finite(found[name], steps, f"groups[{i - 1}].schedule" if own else "schedule")
    return found


def _json(spec: PreviewSpec, curves: Curves) -> str:
    found = []
    for name, schedule, lr in spec.curves():
        known = plan(
            schedule,
            lr=lr,
            total_steps=spec.total_steps,
            steps_per_epoch=spec.steps_per_epoch,
            values=curves[name],
        )
        found.append(
            PreviewedLr(
                name=name,
                lr=curves[name].tolist(),
                warnings=known.warnings,
                **dict(lr_brief(known)),
            )
        )
    whole, *groups = found
    return SchedulePreview(
        total_steps=spec.total_steps, groups=groups, **dict(whole)
    ).model_dump_json()


def _csv(spec: PreviewSpec, curves: Curves) -> str:
    """Return a line per step; a name with a comma or a quote in it is quoted."""
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(["step", *curves])
    columns = [map(repr, curve.tolist()) for curve in curves.values()]
    rows = (",".join(row) for row in zip(map(str, range(spec.total_steps)), *columns, strict=True))
    return head.getvalue() + "\n".join([*rows, ""])


def _svg(spec: PreviewSpec, curves: Curves) -> str:
    return svg(curves, title=f"{spec.schedule.kind}, {spec.total_steps} steps")
