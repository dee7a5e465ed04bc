"""Fields that release 0.2.0 calls otherwise: read under both names, written under one."""

from datetime import UTC, datetime

from optserve.contract.answers.metrics import StreamEnd
from optserve.contract.answers.workers import Worker
from optserve.contract.states import State

NOW = datetime(2026, 11, 29, tzinfo=UTC)
WORKER = {"id": "w", "host": "h", "pid": 1, "device": "cpu", "fingerprint": "", "job": None}


def test_an_answer_of_the_release_before_is_read() -> None:
    former = {"state": "unwell", "unwell": "read-only", "since": NOW, "seen": NOW}

    worker = Worker.model_validate({**WORKER, **former})

    assert (worker.state, worker.unhealthy_reason) == ("unhealthy", "read-only")
    assert (worker.started_at, worker.last_seen_at) == (NOW, NOW)


def test_answers_have_the_names_of_this_release_alone() -> None:
    end = StreamEnd(
        state=State.SUCCEEDED, reason=None, detail=None, outcome="completed", rows=1, digest="d"
    )

    assert set(end.model_dump()) == set(StreamEnd.model_fields)
    assert set(StreamEnd.model_json_schema(mode="serialization")["properties"]) == set(
        StreamEnd.model_fields
    )
