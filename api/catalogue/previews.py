"""Previews: a schedule seen before it runs, as numbers or as a picture."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api.catalogue.preview_formats import as_csv, as_json, as_svg, curves_of
from api.http.dependencies import Effort
from api.http.negotiation import preferred
from api.http.problems import documented
from api.http.spec_body import Posted, PostedRoute
from api.http.thread_pool import VALUES_PER_BYTE
from optcore.plan.preview import PreviewSpec
from optserve.contract.answers.schedules import SchedulePreview
from store.errors import Busy, NotAcceptable

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=PostedRoute)


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
WRITTEN = {Form.JSON: as_json, Form.CSV: as_csv, Form.SVG: as_svg}


def _content() -> dict[int | str, dict[str, Any]]:
    others = {MEDIA_TYPES[form]: {"schema": {"type": "string"}} for form in (Form.CSV, Form.SVG)}
    return {200: {"model": SchedulePreview, "content": others}}


@router.post("/preview", responses={**_content(), **documented(NotAcceptable, Busy)})
async def preview_schedule(
    spec: Posted[PreviewSpec],
    work: Effort,
    accept: Annotated[str, Header()] = "",
    form: Annotated[Form | None, Query(alias="format", description="Instead of Accept.")] = None,
) -> Response:
    """
    Return lr at every step of a run, for the schedule and for each group; run nothing.

    As JSON with peak, area, warmup share and warnings; as CSV with a column per group; as an SVG
    picture. `Accept` chooses, or `?format=`. It is computed first, and then streamed.
    """
    chosen = form or preferred(accept, MEDIA_TYPES)
    curves = await work.do(work.size + spec.cost() // VALUES_PER_BYTE, curves_of, spec)
    return StreamingResponse(
        work.parts(WRITTEN[chosen](spec, curves)),
        media_type=MEDIA_TYPES[chosen],
        headers={"Vary": "Accept"},
    )
