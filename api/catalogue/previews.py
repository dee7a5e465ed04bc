"""The route for previews of schedules, as numbers or as a picture."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.catalogue.preview_formats import as_csv, as_json, as_svg, curves_of
from api.http.dependencies import Threads
from api.http.negotiation import preferred
from api.http.params import Accept
from api.http.problems import documented
from api.http.spec_body import SpecBody, SpecBodyRoute
from api.http.thread_pool import VALUES_PER_BYTE
from optcore.plan.preview import PreviewSpec
from optserve.contract.answers.schedules import SchedulePreview
from store.errors import Busy, NotAcceptable

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=SpecBodyRoute)


class Form(StrEnum):
    """The format of a preview."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"


MEDIA_TYPES = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.SVG: "image/svg+xml",
}
WRITERS = {Form.JSON: as_json, Form.CSV: as_csv, Form.SVG: as_svg}


def _content() -> dict[int | str, dict[str, Any]]:
    others = {MEDIA_TYPES[form]: {"schema": {"type": "string"}} for form in (Form.CSV, Form.SVG)}
    return {200: {"model": SchedulePreview, "content": others}}


@router.post("/preview", responses={**_content(), **documented(NotAcceptable, Busy)})
async def preview_schedule(
    spec: SpecBody[PreviewSpec],
    threads: Threads,
    accept: Accept = "",
    form: Annotated[
        Form | None, Query(alias="format", description="The format; overrides Accept.")
    ] = None,
) -> Response:
    """
    Return the learning rate of a schedule at every step, without submitting a job.

    If the request lists parameter groups, the response has the learning rates of each group, too.

    `Accept` or `?format=` chooses the format. JSON includes peak, area, warmup share and warnings.
    CSV has the columns `step` and `lr`, and one column per group. SVG is a picture of the curves.
    All values are computed before the response begins.
    """
    chosen = form or preferred(accept, MEDIA_TYPES)
    # Measured by cost, not by total_steps alone: 2,048 steps for 100 groups, each with a product of
    # 90 cosines, are a body of 3.6 KB and 18.6 million values, which took the event loop 0.9 to
    # 2.6 s.
    curves = await threads.run(threads.size + spec.cost() // VALUES_PER_BYTE, curves_of, spec)
    return StreamingResponse(
        threads.iterate(WRITERS[chosen](spec, curves)),
        media_type=MEDIA_TYPES[chosen],
        headers={"Vary": "Accept"},
    )
