"""Submissions whose answer was lost, and that are not accepted when they are repeated."""

from __future__ import annotations

import pytest

from optserve.client.client import Client
from optserve.client.errors import NotTheService, ServiceError, Unanswered
from tests.support.http.scripted import Scripted, Step, answers, away, hangs_up

SPEC = {"optimizer": {"kind": "adam"}}


@pytest.mark.parametrize("lost", [hangs_up, away()], ids=["hangs up", "503"])
@pytest.mark.parametrize(
    "later",
    [
        answers(404, b"<html>", "text/html"),
        answers(301, Location="https://elsewhere"),
        answers(200, b"<html>", "text/html"),
    ],
    ids=["404", "301", "200"],
)
def test_a_job_whose_answer_was_lost_may_exist_though_another_service_answers_then(
    lost: Step, later: Step
) -> None:
    with (
        Scripted(lost, later) as server,
        Client(server.url) as client,
        pytest.raises(Unanswered, match="The job may or may not have been accepted") as caught,
    ):
        client.submit(SPEC, idempotency_key="mine")

    assert isinstance(caught.value.__cause__, NotTheService)
    assert str(caught.value).startswith(str(caught.value.__cause__))
    assert caught.value.idempotency_key == "mine"


def test_a_job_whose_answer_was_lost_may_exist_though_it_is_refused_then() -> None:
    problem = {"title": "No", "status": 429, "detail": "too many requests", "code": "x"}
    with (
        Scripted(hangs_up, answers(429, problem)) as server,
        Client(server.url) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.submit(SPEC, idempotency_key="mine")

    assert str(caught.value) == (
        "too many requests\n"
        "An earlier attempt may have been accepted. Submit the job again with the idempotency key "
        "mine: that never creates a second job"
    )
    assert (caught.value.problem.status, caught.value.idempotency_key) == (429, "mine")
