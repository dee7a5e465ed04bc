"""Records of release 0.2.0, whose specs have clip, loss scale, average and lr in other places."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from optcore.schedules.families.cosine import Cosine
from optserve.contract import canonical
from optserve.contract.requests.job import JobSpec
from store.jobs.new_record import new_fields
from store.jobs.record import Record
from store.redis.constants import FORMAT
from tests.support.optcore.runs.former_specs import FORMER, stored
from tests.support.store.protocol import record_of, submit

CLIP = {"kind": "norm", "max": 1.0}


def former(record: Record, spec: dict[str, Any], posted: dict[str, Any]) -> Record:
    """Return *record* with another spec in it, as JSON."""
    texts = {"spec": json.dumps(spec), "posted": json.dumps(posted)}
    return Record({**record.fields, **texts})


@pytest.mark.parametrize("name", FORMER)
def test_its_spec_is_read_in_the_words_of_today(name: str) -> None:
    data, change = FORMER[name]
    spec = JobSpec.parse(data)
    record = Record(new_fields(spec))

    read = former(record, stored(spec.model_dump(mode="json"), change), data)

    assert read.spec == spec
    assert read.spec.model_dump(mode="json") == spec.model_dump(mode="json")


def test_a_request_that_is_repeated_after_the_upgrade_has_the_same_digest() -> None:
    data, change = FORMER["nothing but defaults"]
    spec = JobSpec.parse(data)

    assert spec.sha256() == canonical.sha256(stored(spec.model_dump(mode="json"), change))


def test_a_client_sees_and_clones_it_in_the_words_of_today(client: redis.Redis) -> None:
    job_id = submit(client)
    record = record_of(client, job_id)
    spec, posted = json.loads(record.fields["spec"]), record.posted
    posted["training"] = {**posted["training"], "clip": CLIP}
    spec["training"]["clip"] = CLIP
    spec["optimizer"] |= {"clip": None, "loss_scale": 1.0, "average": None}

    read = former(record, spec, posted)

    assert read.posted["optimizer"]["clip"] == CLIP
    shown = read.job().spec
    listed = read.listed(read.fields["spec"], with_spec=True).spec
    assert listed == shown
    assert shown["optimizer"]["clip"] == CLIP
    assert "clip" not in shown["training"]
    assert JobSpec.parse(read.posted).optimizer.clip == JobSpec.parse(shown).optimizer.clip


COSINE = {"kind": "cosine", "length": {"epochs": 1 / 7}}


def length(spec: JobSpec) -> float:
    assert isinstance(spec.schedule, Cosine)
    return spec.length.span(spec.schedule.length)


def test_a_job_that_0_2_0_would_compute_otherwise_is_written_in_a_format_that_it_leaves_alone(
    client: redis.Redis,
) -> None:
    same = record_of(client, submit(client, schedule={**COSINE, "length": {"epochs": 2}}))
    other = record_of(client, submit(client, schedule=COSINE))

    assert (same.fields["format"], other.fields["format"]) == ("2", str(FORMAT))
    assert length(other.spec) == other.spec.steps_per_epoch / 7


@pytest.mark.parametrize("fields", [{"format": "2"}, {}], ids=["0.2.0", "0.1.0"])
def test_durations_of_a_job_that_an_earlier_release_accepted_are_rounded(
    fields: dict[str, str],
) -> None:
    spec = JobSpec.parse({**FORMER["nothing but defaults"][0], "schedule": COSINE})

    written = {name: text for name, text in new_fields(spec).items() if name != "plan"}
    read = Record({**written, **fields}).spec

    assert length(read) == round(length(spec))
    assert read.run_spec().schedule == read.schedule
    assert read.model_dump_json() == spec.model_dump_json()
