"""An operator's own text and package, and clones that go on, as docs/containers.md has them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.states import State
from tests.compose.conftest import QUICK
from tests.support.checkout import ROOT
from tests.support.optcore.packages import example
from tests.support.optcore.texts import write_text
from tests.support.service.composed import PREFIX, Composed, composed, docker
from tests.support.service.jobs import SHORT, finished

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs" / "containers.md").read_text()
MINE = "optserve-test-mine"
"""Of the images with a package."""


def test_a_text_is_put_into_the_volume_and_trained_on(
    stack: Composed, service: Client, tmp_path: Path
) -> None:
    line = r"^\$ docker compose (run .*bible.txt') < bible.txt$"
    (command,) = re.findall(line, PAGE, re.MULTILINE)
    words = re.fullmatch(r"(.*?) sh -c '(.*)'", command)
    assert words is not None
    text = write_text(tmp_path, "bible.txt")
    stack.run(*words[1].split(), "sh", "-c", words[2], given=text.read_bytes())
    spec = {
        "model": {"kind": "gpt", "width": 16, "depth": 1, "heads": 2},
        "dataset": {"kind": "text", "file": "bible.txt", "length": 16, "train_windows": 400},
        "optimizer": {"kind": "adamw", "lr": 0.01},
        "training": {"steps": 20, "seed": 3},
    }

    job = finished(service, service.submit(spec).id)

    assert (job.state, job.detail) == (State.SUCCEEDED, None)
    assert job.result is not None
    assert 0 < job.result.test["bits_per_byte"] < 8


def test_a_finished_job_and_a_clone_of_its_end_are_the_longer_job(service: Client) -> None:
    def of(epochs: int) -> dict[str, Any]:
        constant = {"kind": "constant"}
        return {**SHORT, "schedule": constant, "training": {"epochs": epochs, "seed": 3}}

    whole = finished(service, service.submit(of(4)).id)
    half = finished(service, service.submit(of(2)).id)

    clone = finished(service, service.clone(half.id, keep="optimizer").id)

    assert clone.state is State.SUCCEEDED
    assert clone.digest == whole.digest != half.digest


@pytest.fixture(scope="module")
def mine(stack: Composed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """A stack whose images have the package in docs/extending.md."""
    del stack  # its images are built
    folder = tmp_path_factory.mktemp("mine")
    (text,) = re.findall(r"```dockerfile\n(# packages.Dockerfile\n.*?)```", PAGE, re.DOTALL)
    (folder / "packages.Dockerfile").write_text(text)
    wheel(folder)
    for name in ("api", "worker"):
        docker(
            *("build", "-q", "-t", f"{MINE}-{name}:now"),
            *("--build-arg", f"IMAGE={PREFIX}-{name}:now"),
            *("-f", str(folder / "packages.Dockerfile"), str(folder)),
        )
    with composed(MINE, QUICK, IMAGE_PREFIX=MINE) as started:
        started.run("up", "-d")
        started.wait_until_ready()
        yield started


def wheel(folder: Path) -> None:
    """Write the wheel of the package in docs/extending.md into *folder*."""
    source = folder / "source"
    for name, content in example().items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    shutil.rmtree(source)


def test_a_package_in_images_of_ones_own_is_trained_with(mine: Composed) -> None:
    extending = (ROOT / "docs" / "extending.md").read_text()
    (job,) = re.findall(r"```json\n(.*?)```", extending, re.DOTALL)
    with Client(mine.url) as client:
        done = finished(client, client.submit(json.loads(job)).id)

    assert (done.state, done.detail) == (State.SUCCEEDED, None)
