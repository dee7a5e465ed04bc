"""Every field of a job that is no part of its run, and of a preview, changes a record or answer."""

from __future__ import annotations

from typing import Any

import pytest

from api.catalogue.preview_formats import as_json, curves_of
from optcore.plan.preview import PreviewGroup, PreviewSpec
from optcore.spec.run import RunSpec
from optserve.contract.requests.job import JobSpec
from store.jobs.new_record import new_fields
from tests.support.optcore.moving import trained
from tests.support.optcore.moving.search import Search

OTHER_VALUES: dict[str, Any] = {
    "name": "a name",
    "labels": {"team": "ocr"},
    "priority": 1,
    "time_limit_s": 60.0,
}
COPIES = ("posted", "spec")
"""Fields of a record that hold the request itself."""


def record(job: dict[str, Any]) -> dict[str, str]:
    fields = new_fields(JobSpec.parse(job))
    return {name: value for name, value in fields.items() if name not in COPIES}


@pytest.mark.parametrize("name", sorted(JobSpec.model_fields.keys() - RunSpec.model_fields.keys()))
def test_every_field_of_a_job_beside_its_run_changes_the_record(name: str) -> None:
    job = trained.job({"kind": "momentum", "lr": 0.1})

    assert record({**job, name: OTHER_VALUES[name]}) != record(job)


def test_every_field_of_a_preview_changes_the_answer_or_is_refused() -> None:
    group = {"name": "head", "lr": 0.3, "lr_scale": 0.5, "schedule": {"kind": "linear"}}
    length = {"length": {"epochs": 2}}
    spec = {"schedule": {"kind": "cosine", "warmup": length}, "lr": 0.1, "total_steps": 20}
    spec |= {"steps_per_epoch": 3, "groups": [group]}
    # The fields of the schedules are moved in test_schedules.py.
    search = Search[PreviewSpec](
        PreviewSpec.parse,
        lambda preview: "".join(as_json(preview, curves_of(preview))),
        skip=frozenset({"warmup"}),
    )

    found = [each for each in search.of([spec]) if "schedule" not in each.path]

    assert {each.path for each in found if each.idle} == set()
    assert {each.path[-1] for each in found} >= {
        *(PreviewSpec.model_fields.keys() - {"schedule"}),
        *(PreviewGroup.model_fields.keys() - {"schedule"}),
    }
