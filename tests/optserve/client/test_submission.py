"""Submissions: repeated with one key, and what is known of a job whose answer was lost."""

import threading

import pytest

from optserve.client import Client
from optserve.client.errors import (
    BadJob,
    NotTheService,
    ServiceError,
    Unanswered,
    Unreachable,
)
from tests.support.http.scripted import (
    JOB,
    Scripted,
    Step,
    answers,
    away,
    hangs_up,
    waits_for,
)

SPEC = {"model": {"kind": "mlp"}, "optimizer": {"kind": "adam"}}


def test_submit_is_repeated_with_the_same_key_while_the_service_is_unavailable() -> None:
    with Scripted(hangs_up, away(), answers(201, JOB)) as server, Client(server.url) as client:
        job = client.submit(SPEC)

    keys = server.headers("Idempotency-Key")
    assert job.id == "job_1"
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


@pytest.mark.parametrize(
    "script",
    [[away()], [hangs_up], [answers(500, b"oops", "text/plain")]],
    ids=["503", "hangs up", "500"],
)
def test_giving_up_says_that_the_job_may_have_been_accepted_and_how_to_retry(
    script: list[Step],
) -> None:
    with (
        Scripted(*script) as server,
        Client(server.url, retry_for_s=0.3) as client,
        pytest.raises(Unanswered, match="The job may or may not have been accepted") as caught,
    ):
        client.submit(SPEC, idempotency_key="mine")

    assert caught.value.idempotency_key == "mine"
    assert "with the idempotency key mine" in str(caught.value)


def test_a_server_error_other_than_503_is_not_retried() -> None:
    with (
        Scripted(answers(500, b"oops", "text/plain")) as server,
        Client(server.url) as client,
        pytest.raises(Unanswered),
    ):
        client.submit(SPEC)

    assert len(server.requests) == 1


def test_submit_to_a_service_that_never_answers_is_bounded_by_retry_for_s() -> None:
    """Its own timeout of 30 seconds would be longer than this test may take."""
    over = threading.Event()
    with (
        Scripted(waits_for(over)) as server,
        Client(server.url, retry_for_s=0.3) as client,
    ):
        with pytest.raises(Unanswered):
            client.submit(SPEC)
        over.set()


def test_a_job_that_was_never_sent_is_unreachable_not_unanswered() -> None:
    with (
        Client("http://127.0.0.1:1", retry_for_s=0.2) as client,
        pytest.raises(Unreachable, match=r"^http://127.0.0.1:1 does not answer") as caught,
    ):
        client.submit(SPEC)

    assert not isinstance(caught.value, Unanswered)


@pytest.mark.parametrize("key", ["a b", "a\nb", "ü", "x" * 256])
def test_an_idempotency_key_that_a_header_cannot_hold_is_refused(key: str) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(BadJob, match="1 to 255 ASCII"):
        client.submit(SPEC, idempotency_key=key)


def test_a_job_that_json_cannot_represent_is_refused() -> None:
    with (
        Client("http://127.0.0.1:1") as client,
        pytest.raises(BadJob, match="representable as JSON"),
    ):
        client.submit({"optimizer": object()})


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
