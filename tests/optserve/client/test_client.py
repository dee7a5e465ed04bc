"""The client against servers that fail in every way that a service can."""

import json
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.client.errors import (
    BadAddress,
    NotTheService,
    ServiceError,
    Unreachable,
)
from optserve.contract.answers.metrics import MetricRow
from tests.support.http.scripted import (
    JOB,
    PLAN,
    Scripted,
    Step,
    answers,
    end,
    hangs_up,
    streams,
)

SPEC = {"model": {"kind": "mlp"}, "optimizer": {"kind": "adam"}}


# ------------------------------------------------------------------ submitting


def test_a_mapping_is_sent_unchanged() -> None:
    with Scripted(answers(201, JOB)) as server, Client(server.url) as client:
        client.submit(SPEC)

    assert json.loads(server.requests[0][3]) == SPEC


def test_the_plan_of_a_clone_is_requested_as_the_clone_is() -> None:
    taken: dict[str, Any] = {
        "source": 3,
        "changes": {"name": "b"},
        "prefixes": [{"from": "", "to": "backbone"}],
        "fresh": ["head.*"],
        "omit": ["fc.*"],
    }
    with Scripted(answers(200, PLAN), answers(201, JOB)) as server, Client(server.url) as client:
        client.validate_clone("job_1", **taken)
        client.clone("job_1", **taken)

    plan, clone = (json.loads(request[3]) for request in server.requests)
    assert plan == clone
    assert clone["prefixes"] == taken["prefixes"]


@pytest.mark.parametrize("status", [422, 404, 429])
def test_a_refused_request_is_not_repeated(status: int) -> None:
    problem = {"title": "No", "status": status, "detail": "lr must be positive", "code": "x"}
    with (
        Scripted(answers(status, problem)) as server,
        Client(server.url) as client,
        pytest.raises(ServiceError, match="lr must be positive"),
    ):
        client.submit(SPEC)

    assert len(server.requests) == 1


def test_an_error_says_how_many_more_mistakes_there_are() -> None:
    errors = [{"param": f"f{i}", "message": "unknown field"} for i in range(2)]
    problem = {"title": "No", "status": 422, "detail": "", "code": "x"}
    with (
        Scripted(answers(422, {**problem, "errors": errors, "more_errors": 7})) as server,
        Client(server.url) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.validate(SPEC)

    assert str(caught.value) == "f0: unknown field\nf1: unknown field\nand 7 more"
    assert caught.value.problem.more_errors == 7


def test_lists_have_specs_on_request() -> None:
    specs: list[dict[str, Any] | None] = [None, {"model": {}}]
    rows = [{**JOB, "spec": spec} for spec in specs]
    page = {"object": "list", "data": rows, "has_more": True, "next": "job_1"}
    with Scripted(answers(200, page), answers(200, page)) as server, Client(server.url) as client:
        without, listed = client.jobs(), client.jobs(spec=True, after="job_2", limit=3)

    assert [row.spec for row in without.data] == specs
    assert (listed.has_more, listed.next) == (True, "job_1")
    assert [request[1] for request in server.requests] == [
        "/v1/jobs?limit=20",
        "/v1/jobs?limit=3&after=job_2&spec=true",
    ]


# ------------------------------------------------------------------- following


def test_restart_and_accept_are_repeated_until_answered() -> None:
    with Scripted(hangs_up, answers(200, JOB)) as server, Client(server.url) as client:
        client.restart("job_1")
        client.accept("job_1")

    asked = [(method, path) for method, path, _, _ in server.requests]
    assert asked == [
        ("POST", "/v1/jobs/job_1/restart"),
        ("POST", "/v1/jobs/job_1/restart"),
        ("POST", "/v1/jobs/job_1/accept"),
    ]


def test_columns_added_by_a_newer_service_are_kept() -> None:
    data = {"columns": ["step", "grad_norm", "loss", "lr"], "rows": [[0, 9.0, "NaN", 0.5]]}
    event = f"event: rows\ndata: {json.dumps(data)}\nid: 0\n\n"
    with Scripted(streams(event, end(1))) as server, Client(server.url) as client:
        (row,), _ = client.follow("job_1")

    assert isinstance(row, MetricRow)
    assert row.lr == 0.5
    assert row.loss != row.loss
    assert row.value("grad_norm") == 9.0


# ----------------------------------------------------- other services and odd names


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            answers(200, b"<html>", "text/html"),
            "answered GET /v1/jobs/job_1 with something this optserve does not understand",
        ),
        (answers(200, {"id": "job_1"}), r"\(name: name is required\)"),
        (answers(200, b"[" * 9000), "another service, or another version of optserve"),
        (answers(404, b"<html>", "text/html"), "404 Not Found, but not as an optserve service"),
        (answers(301, Location="https://elsewhere"), "moved to https://elsewhere; use that URL"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_answer_of_another_service_is_explained(step: Step, message: str) -> None:
    with (
        Scripted(step) as server,
        Client(server.url) as client,
        pytest.raises(NotTheService, match=message),
    ):
        client.job("job_1")


@pytest.mark.parametrize(
    "step",
    [
        answers(200, b"<html>", "text/html"),
        streams("event: rows\ndata: {}\n\n"),
        streams('event: rows\ndata: {"columns": ["step"], "rows": [[1]]}\n\n'),
    ],
    ids=["a page", "another event", "columns that are missing"],
)
def test_a_stream_of_another_service_is_refused(step: Step) -> None:
    with Scripted(step) as server, Client(server.url) as client, pytest.raises(NotTheService):
        list(client.follow("job_1"))


def test_ready_is_false_where_another_service_answers() -> None:
    with Scripted(answers(200, b"<html>", "text/html")) as server, Client(server.url) as client:
        assert not client.ready()
    with Scripted(answers(200, {"status": "ok"})) as server, Client(server.url) as client:
        assert client.ready()


@pytest.mark.parametrize(
    ("job_id", "path"),
    [
        ("a/b", "/v1/jobs/a%2Fb"),
        ("..", "/v1/jobs/%2E%2E"),
        ("?state=x#y", "/v1/jobs/%3Fstate%3Dx%23y"),
        ("\x1b[2J", "/v1/jobs/%1B%5B2J"),
        ("\udcff", "/v1/jobs/%FF"),
    ],
)
def test_an_id_is_one_segment_of_the_path(job_id: str, path: str) -> None:
    with Scripted(answers(200, JOB)) as server, Client(server.url) as client:
        client.job(job_id)

    assert server.requests[0][1] == path


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x", "http://", "http://a:b", "http://a b", "http://a:99999"]
)
def test_a_url_that_no_service_can_have_is_refused(url: str) -> None:
    with pytest.raises(BadAddress, match=r"must be like http://127\.0\.0\.1:8000, got"):
        Client(url)


def test_a_password_in_the_url_is_sent_and_never_shown() -> None:
    with Scripted(answers(200, JOB), hangs_up) as server:
        url = server.url.replace("http://", "http://ann:s3cret@")
        with Client(url) as client:
            client.job("job_1")
            with pytest.raises(Unreachable) as caught:
                client.job("job_1")

    assert server.headers("Authorization")[0] is not None
    assert "s3cret" not in str(caught.value) + client.url


def test_http_proxy_is_ignored_for_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Scripted(answers(200, JOB)) as server, Client(server.url) as client:
        assert client.job("job_1").id == "job_1"


def test_a_download_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def breaks_off(request: Any) -> None:  # a length that the body does not have
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"half")

    with (
        Scripted(breaks_off) as server,
        Client(server.url) as client,
        pytest.raises(Unreachable),
    ):
        client.download("job_1", "model.safetensors", tmp_path / "model.safetensors")

    assert list(tmp_path.iterdir()) == []
