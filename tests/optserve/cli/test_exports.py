"""Taking the steps of a job home, from services that answer and that break off."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.client.errors import ServiceError, Unreachable
from optserve.contract.requests.exports import ExportForm
from tests.support.http.scripted import Scripted, answers

CSV = b"step,lr,loss\n0,0.1,NaN\n"


def breaks_off(request: Any) -> None:
    """Send a chunk of a body, and never the last one."""
    request.protocol_version = "HTTP/1.1"
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"%x\r\n%b\r\n" % (len(CSV), CSV))


def optserve(*args: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-m", "optserve", *args]
    return subprocess.run(
        command,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_an_export_asks_for_what_is_wanted_and_is_written(tmp_path: Path) -> None:
    with Scripted(answers(200, CSV, "text/csv")) as server, Client(server.url) as client:
        client.export("job_1", tmp_path / "job.csv", columns=["loss", "lr"], after=3, limit=7)
        into = io.BytesIO()
        client.export("job_1", into, form=ExportForm.ARROW)

    assert (tmp_path / "job.csv").read_bytes() == into.getvalue() == CSV
    assert [path for _, path, _, _ in server.requests] == [
        "/v1/jobs/job_1/metrics?format=csv&after=3&columns=loss%2Clr&limit=7",
        "/v1/jobs/job_1/metrics?format=arrow&after=-1",
    ]


def test_an_export_that_breaks_off_leaves_what_was_there_before(tmp_path: Path) -> None:
    target = tmp_path / "job.csv"
    target.write_text("before")

    with (
        Scripted(breaks_off) as server,
        Client(server.url) as client,
        pytest.raises(Unreachable),
    ):
        client.export("job_1", target)

    assert [path.name for path in tmp_path.iterdir()] == ["job.csv"]
    assert target.read_text() == "before"


def test_what_the_service_refuses_is_told(tmp_path: Path) -> None:
    problem = {
        "title": "The request is not valid",
        "status": 422,
        "detail": "",
        "code": "invalid_request",
        "errors": [
            {"param": "columns", "message": "columns must be among step, lr, loss, got 'los'"}
        ],
    }

    with (
        Scripted(answers(422, problem, "application/problem+json")) as server,
        Client(server.url) as client,
        pytest.raises(
            ServiceError, match="columns: columns must be among step, lr, loss, got 'los'"
        ),
    ):
        client.export("job_1", tmp_path / "job.csv")

    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_to_standard_output_or_to_a_file(tmp_path: Path) -> None:
    with Scripted(answers(200, CSV, "text/csv")) as server:
        shown = optserve("metrics", "job_1", "--url", server.url, "--columns", "lr")
        target = tmp_path / "job.parquet"
        written = optserve(
            "metrics", "job_1", "--url", server.url, "--format", "parquet", "--out", str(target)
        )

    assert (shown.stdout, shown.stderr) == (CSV, b"")
    assert (written.returncode, written.stdout, target.read_bytes()) == (0, b"", CSV)
    assert server.requests[0][1] == "/v1/jobs/job_1/metrics?format=csv&after=-1&columns=lr"


def test_what_is_not_for_the_eye_is_not_put_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        done = optserve("metrics", "job_1", "--format", "arrow", stdout=theirs)
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == 1
    assert done.stderr.decode() == (
        "arrow is a binary format: write it to a file with --out FILE, or into a pipe\n"
    )


def test_an_unknown_format_is_named_with_the_right_ones() -> None:
    done = optserve("metrics", "job_1", "--format", "cvs")

    assert done.returncode == 2
    assert "'cvs' is not one of" in done.stderr.decode()


def test_the_help_fits_80_columns() -> None:
    done = optserve("metrics", "--help")

    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    assert "--columns" in done.stdout.decode()


def test_who_reads_has_enough() -> None:
    with Scripted(answers(200, CSV * 100_000, "text/csv")) as server:
        command = [sys.executable, "-P", "-m", "optserve", "metrics", "job_1"]
        with subprocess.Popen(
            [*command, "--url", server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(10)
            process.stdout.close()
            said = process.stderr.read()

    assert said == b""
