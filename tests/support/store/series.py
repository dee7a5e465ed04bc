"""Jobs with rows, for charts to show."""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import redis

from optserve.contract.requests.job import JobSpec
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.series import PLAIN, Row, Series
from store.redis.functions import send
from tests.support.store.protocol import SPEC, append, begin

AT_ONCE = 5000
WIDE = Series(("lr", "loss", "examples_per_s"), 2)
"""What is observed of a step comes out otherwise when the step is trained again."""


def begun(client: redis.Redis, *, series: Series = PLAIN, **changes: Any) -> Claim:
    """Return a job that is running and has no rows yet."""
    training = {"steps": 1_000_000, "device": "cpu"}
    fields = new_fields(JobSpec.parse({**SPEC, "training": training, **changes}))
    call = calls.submit(
        "local", new_id(), fields | series.fields(), idempotency_key="", body_sha="sha"
    )
    send(client, call)
    return begin(client, new_id())


def odd_rows(seed: int, count: int, *, width: int = 2) -> list[Row]:
    """Return rows with a spike, a NaN or an infinity here and there."""
    random = Random(seed)
    odd = [math.nan, math.inf, -math.inf, 1e9, -1e9, 0.0]
    return [
        tuple(
            random.choice(odd) if random.random() < 0.01 else random.gauss(0, 1)
            for _ in range(width)
        )
        for _ in range(count)
    ]


def put(
    client: redis.Redis, held: Claim, rows: Sequence[Row], *, first: int = 0, series: Series = PLAIN
) -> None:
    """Store *rows* of a job from row *first* on."""
    for at in range(0, len(rows), AT_ONCE):
        append(client, held, first + at, rows[at : at + AT_ONCE], series)


def rows_in(data: dict[str, Any], column: str) -> dict[int, float]:
    """Return the points of a chart's column: step to value."""
    curve = data["columns"][column]
    return dict(zip(curve["steps"], map(float, curve["values"]), strict=True))


def shown(values: list[float], first: int, size: int) -> dict[int, float]:
    """Return, found one value after another, what a chart must show of a column."""
    found: dict[int, float] = {}
    buckets: dict[int, list[int]] = {}
    for row in range(first, first + len(values)):
        buckets.setdefault(row // size, []).append(row)
    for rows in buckets.values():
        finite = [row for row in rows if math.isfinite(values[row - first])]
        steps = {
            min(finite, key=lambda row: values[row - first], default=rows[0]),
            max(finite, key=lambda row: values[row - first], default=rows[0]),
        }
        found |= {step: values[step - first] for step in sorted(steps)}
    return found
