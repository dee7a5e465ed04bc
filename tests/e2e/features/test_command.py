"""The `optserve` command as a person uses it: real processes, real signals, 80 columns."""

import json
import re
import signal
from pathlib import Path

import pytest

from optserve.client import Client
from optserve.contract.answers.jobs import ListedJob
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.machine.processes import alive, descendants, eventually
from tests.support.service.commands import optserve, ready, started
from tests.support.service.jobs import LONG, SHORT, begun


def test_submit_follow_shows_the_job_to_its_end(running: Stack, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(SHORT))

    done = optserve("submit", str(file), "--follow", home=running.home)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^job_\S+  http://127.0.0.1:\d+/v1/jobs/job_\S+$", done.stdout, re.M)
    assert "state        succeeded" in done.stdout
    assert re.search(r"test         loss 0\.\d+, accuracy 0\.\d+", done.stdout)
    pictures = [line for line in done.stdout.splitlines() if "\u2502" in line]
    assert len(pictures) == 14
    assert max(len(line) for line in pictures) <= 80


@pytest.mark.long
def test_submit_reads_standard_input_and_jobs_and_show_know_it(running: Stack) -> None:
    done = optserve("submit", "-", "--follow", home=running.home, stdin=json.dumps(SHORT))
    job_id = done.stdout.split()[0]

    listed = optserve("jobs", "--state", "succeeded", home=running.home)
    shown = optserve("show", job_id, home=running.home)

    assert job_id in listed.stdout
    assert "60/60" in listed.stdout
    assert f"job          {job_id}" in shown.stdout
    assert "succeeded" in shown.stdout


def test_cancel_says_what_becomes_of_the_job(running: Stack, service: Client) -> None:
    job_id = service.submit(LONG).id
    begun(service, job_id)

    done = optserve("cancel", job_id, home=running.home)

    assert re.fullmatch(rf"{job_id} is running, and will be cancelled\n", done.stdout)
    eventually(lambda: service.job(job_id).state is State.CANCELLED)


@pytest.mark.parametrize(
    ("args", "stdin", "message"),
    [
        (["submit", "-"], "{", "standard input must hold a job as JSON: Expecting property name"),
        (["submit", "-"], "[]", "standard input must hold a job as a JSON object"),
        (
            ["submit", "-"],
            json.dumps({**SHORT, "optimizer": {"kind": "adam", "bta1": 0.9}}),
            "optimizer.bta1: unknown field 'bta1'; did you mean 'beta1'?",
        ),
        (["show", "job_0"], "", "job 'job_0' does not exist"),
        (["datasets", "fetch", "imagenet"], "", "dataset must be mnist (digits needs no download)"),
        (["jobs", "--label", "team"], "", "--label must be NAME=VALUE, got 'team'"),
        (["jobs", "--state", "gone"], "", "'gone' is not one of 'queued'"),
        (["submit", "/nonexistent.json"], "", "/nonexistent.json cannot be read: No such file"),
        (["sbmit"], "", "No such command 'sbmit'"),
    ],
)
def test_a_mistake_is_a_sentence_and_an_exit_code(
    running: Stack, args: list[str], stdin: str, message: str
) -> None:
    done = optserve(*args, home=running.home, stdin=stdin)

    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_service_is_a_sentence_too(tmp_path: Path) -> None:
    done = optserve("jobs", "--url", "http://127.0.0.1:1", home=tmp_path)

    assert done.returncode == 1
    assert "http://127.0.0.1:1 does not answer" in done.stderr


@pytest.mark.long
def test_up_serves_until_ctrl_c_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with started("up", home=tmp_path) as process:
        url = ready(process)
        with Client(url) as client:
            job_id = client.submit(LONG).id
            begun(client, job_id, steps=50)
            children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 0, output
    assert "saving running jobs and stopping" in output
    assert len(children) >= 4
    eventually(lambda: not any(alive(pid) for pid in children), within_s=5)
    assert not (tmp_path / "url").exists()

    with started("up", home=tmp_path) as process, Client(ready(process)) as client:
        job = begun(client, job_id, steps=51)
        kinds = [e.kind for e in client.events(job_id) if e.kind != "evaluated"]
        client.kill(job_id)
        assert job.attempt == 2
        left_at = kinds.index("requeued")
        assert kinds[left_at - 1] == "checkpointed"
        assert kinds[left_at + 1] == "started"


@pytest.mark.long
def test_what_up_started_dies_with_it_even_if_it_is_killed(tmp_path: Path) -> None:
    with started("up", home=tmp_path) as process:
        ready(process)
        children = descendants(process.pid)
        process.kill()

        eventually(lambda: not any(alive(pid) for pid in children), within_s=20)


def test_a_home_has_one_stack_at_a_time(running: Stack) -> None:
    done = optserve("up", home=running.home)

    assert done.returncode == 1
    assert f"a stack already runs on {running.home}, at {running.url}" in done.stderr


def test_a_port_in_use_is_refused_with_a_way_out(running: Stack, tmp_path: Path) -> None:
    port = running.url.rsplit(":", 1)[1]

    done = optserve("up", "--port", port, home=tmp_path)

    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port, or 0 for any free one" in done.stderr


@pytest.mark.slow
def test_the_demo_learns_mnist_and_shows_every_step(tmp_path: Path, mnist: Path) -> None:
    done = optserve("demo", home=tmp_path, data=mnist.resolve())

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = re.fullmatch(r"test accuracy (\d\d\.\d\d) %", lines[-1])
    assert accuracy is not None
    assert float(accuracy[1]) >= 96
    assert any(line.startswith("600 steps") for line in lines)
    assert any("loss" in line for line in lines)

    with started("up", home=tmp_path) as process, Client(ready(process)) as client:
        (job,) = client.jobs().data
        assert [row.step for row in client.metrics(job.id)] == list(range(600))


@pytest.mark.long
def test_ctrl_c_in_the_demo_cancels_its_job(running: Stack, mnist: Path) -> None:
    """On a service that was there before, which goes on."""
    del mnist
    before = {job.id for job in jobs_of(running)}
    with started("demo", home=running.home) as process:
        eventually(lambda: any(job.id not in before and job.step for job in jobs_of(running)))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    (job,) = [job for job in jobs_of(running) if job.id not in before]
    with Client(running.url) as client:
        eventually(lambda: client.job(job.id).state is State.CANCELLED)
    assert process.returncode == 130


def jobs_of(running: Stack) -> list[ListedJob]:
    with Client(running.url) as client:
        return list(client.jobs().data)
