"""
What `pip install optserve` and `pip install "optserve[server]"` put into an environment.

Both wheels are built, and installed into environments that are empty. What the client asks for is
linked into its environment from that of the tests; the slow tests take it from the package index.
"""

from __future__ import annotations

import email
import json
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from optserve.cli.plugins import GROUP, OF_THE_SERVICE
from optserve.local.embedded import url_of
from optserve.local.ports import listening_port
from tests.support.checkout import ROOT
from tests.support.machine.environments import Environment, variables
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT
from tests.support.service.stacks import stack_with

OF_SERVERS = {"fastapi", "starlette", "uvicorn", "rq", "redis", "torch"}
"""Distributions that a client must not bring."""
IMPORTS = """
import importlib, json, pkgutil, optcore, optserve
failed = {}
for package in (optcore, optserve):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", failed.get):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            failed[module.name] = error.name.split(".")[0]
print(json.dumps(failed))
"""
"""Prints every module that cannot be imported, with what it lacks."""
FOLLOWS = """
import sys
from optserve.client import Client
with Client(sys.argv[1]) as client:
    print(sum(len(update) for update in client.follow(sys.argv[2]) if isinstance(update, list)))
"""


class Wheel(NamedTuple):
    """A wheel, and what can be read in it."""

    path: Path
    files: set[str]
    version: str
    requires: list[Requirement]

    @property
    def modules(self) -> set[str]:
        """Top-level modules."""
        return {file.split("/")[0] for file in self.files}

    def asked(self, extra: str = "") -> list[Requirement]:
        """Return what it asks for, with an extra or without, and not what it asks for always."""
        return [each for each in self.requires if (extra or None) == _extra_of(each)]


def _extra_of(requirement: Requirement) -> str | None:
    found = re.search(r"""extra == ["'](\w+)""", str(requirement.marker or ""))
    return found[1] if found else None


def opened(path: Path) -> Wheel:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = email.message_from_bytes(archive.read(about))
    return Wheel(
        path,
        {name for name in names if ".dist-info/" not in name},
        str(said["Version"]),
        [Requirement(text) for text in said.get_all("Requires-Dist", [])],
    )


def source_files(*packages: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both wheels, as `make wheels` builds them."""
    build = tomllib.loads((ROOT / "service" / "pyproject.toml").read_text())["build-system"]
    for needed in (Requirement(text) for text in [*build["requires"], "pip"]):
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"wheels are built with {needed}, which is not installed")
        if Version(version) not in needed.specifier:
            pytest.skip(f"wheels are built with {needed}, got {version}")
    folder = tmp_path_factory.mktemp("wheels")
    done = subprocess.run(
        [ROOT / "scripts" / "wheels", folder],
        env=variables(PYTHON=sys.executable),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def client_wheel(wheels: Path) -> Wheel:
    (path,) = wheels.glob("optserve-*.whl")
    return opened(path)


@pytest.fixture(scope="module")
def service_wheel(wheels: Path) -> Wheel:
    (path,) = wheels.glob("optserve_service-*.whl")
    return opened(path)


@pytest.fixture(scope="module")
def client(client_wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the client and what it asks for, and nothing else."""
    environment = Environment(tmp_path_factory.mktemp("client"))
    environment.link(str(each) for each in client_wheel.asked())
    done = environment.install("--no-index", "--no-deps", str(client_wheel.path))
    assert done.returncode == 0, done.stderr
    return environment


def test_the_clients_wheel_holds_optserve_and_optcore_alone(client_wheel: Wheel) -> None:
    assert client_wheel.modules == {"optcore", "optserve"}
    assert client_wheel.files == source_files("optcore", "optserve")


def test_the_services_wheel_holds_the_service_with_its_lua(service_wheel: Wheel) -> None:
    """Built by way of an sdist it would be empty."""
    packages = ["api", "control", "store", "worker"]

    assert service_wheel.modules == set(packages)
    assert service_wheel.files == source_files(*packages)
    assert any(name.endswith(".lua") for name in service_wheel.files)


def test_an_sdist_of_the_service_is_refused(wheels: Path, tmp_path: Path) -> None:
    assert wheels.is_dir()
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=ROOT / "service",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "an sdist of the service would be empty" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_distribution_asks_for_the_other_in_its_own_version(
    client_wheel: Wheel, service_wheel: Wheel
) -> None:
    (of_server,) = client_wheel.asked("server")
    (of_service,) = [each for each in service_wheel.asked() if each.name == "optserve"]
    (of_train,) = [each for each in service_wheel.asked("train") if each.name == "optserve"]

    assert service_wheel.version == client_wheel.version
    assert (of_server.name, of_server.extras) == ("optserve-service", {"local", "train"})
    assert of_train.extras == {"torch"}
    for each in (of_server, of_service, of_train):
        assert str(each.specifier) == f"=={client_wheel.version}"


def test_the_client_asks_for_no_server_and_no_torch(client_wheel: Wheel) -> None:
    assert not {each.name for each in client_wheel.asked()} & OF_SERVERS
    assert [each.name for each in client_wheel.asked("torch")] == ["torch"]


def test_the_service_adds_the_commands_that_are_explained_without_it(service_wheel: Wheel) -> None:
    with zipfile.ZipFile(service_wheel.path) as archive:
        (file,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        section, *lines = archive.read(file).decode().split("\n")

    pairs = [line.split(" = ") for line in lines if line]
    points = [metadata.EntryPoint(name=name, value=value, group=GROUP) for name, value in pairs]

    assert section == f"[{GROUP}]"
    assert {point.name for point in points} == set(OF_THE_SERVICE)
    assert all(callable(point.load()) for point in points)


def test_all_of_a_client_can_be_imported_without_service_and_torch(
    client: Environment, tmp_path: Path
) -> None:
    done = client.run("python", "-c", IMPORTS, folder=tmp_path)

    failed: dict[str, str] = json.loads(done.stdout)
    of_torch = ("optcore.data", "optcore.networks", "optcore.optimizers", "optcore.training")
    assert {lack for name, lack in failed.items() if name.startswith(of_torch)} <= {
        "torch",
        "safetensors",
    }
    assert [name for name in failed if not name.startswith((*of_torch, "optserve.local"))] == []
    assert not {"optserve.local.homes", "optcore.data.sources.mnist_fetch"} & failed.keys()


def test_a_client_draws_schedules(client: Environment, tmp_path: Path) -> None:
    done = client.run("optserve", "schedule", "plot", "cosine", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "lr of cosine, 1000 steps" in done.stdout


@pytest.mark.parametrize("name", ["up", "datasets"])
def test_a_command_of_the_service_says_how_to_get_it(
    name: str, client: Environment, tmp_path: Path
) -> None:
    done = client.run("optserve", name, "--home", "here", "fetch", folder=tmp_path)

    assert done.returncode == 1
    assert f"optserve {name} cannot run: the service is not installed" in done.stderr
    assert 'pip install "optserve[server]"' in done.stderr


def test_the_help_of_a_client_says_what_needs_the_service(
    client: Environment, tmp_path: Path
) -> None:
    done = client.run("optserve", "--help", folder=tmp_path, COLUMNS="200")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(The service is not installed.)") == len(OF_THE_SERVICE)
    assert "submit" in done.stdout


def installed(folder: Path, *requirements: str) -> Environment:
    """Return an environment with *requirements* from the package index; skip if it is away."""
    environment = Environment(folder)
    done = environment.install("--constraint", str(ROOT / "constraints.txt"), *requirements)
    if "Could not find a version" in done.stderr or "Connection" in done.stderr:
        pytest.skip(f"the package index does not have it: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return environment


def names_in(environment: Environment) -> set[str]:
    found = metadata.distributions(path=[str(environment.packages)])
    return {distribution.name.lower() for distribution in found}


@pytest.mark.slow
def test_a_client_in_an_empty_environment_submits_and_follows(
    client_wheel: Wheel, tmp_path: Path
) -> None:
    environment = installed(tmp_path / "client", str(client_wheel.path))
    job = tmp_path / "job.json"
    job.write_text(json.dumps(SHORT))

    with stack_with(tmp_path / "home") as stack:
        submitted = environment.run(
            "optserve", "submit", str(job), "--follow", "--url", stack.url, folder=tmp_path
        )
        job_id = submitted.stdout.split()[0]
        followed = environment.run("python", "-c", FOLLOWS, stack.url, job_id, folder=tmp_path)
    plotted = environment.run("optserve", "schedule", "plot", str(job), folder=tmp_path)

    assert submitted.returncode == 0, submitted.stderr
    assert followed.stdout == "60\n", followed.stderr
    assert "lr of cosine, 60 steps" in plotted.stdout, plotted.stderr
    assert not names_in(environment) & OF_SERVERS


@contextmanager
def running(
    environment: Environment, *command: str, folder: Path, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a command that stays; interrupt it at the end."""
    process = subprocess.Popen(
        [environment.bin / command[0], *command[1:]],
        cwd=folder,
        env=variables(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_service_in_an_empty_environment_trains_outside_a_checkout(
    client_wheel: Wheel, service_wheel: Wheel, tmp_path: Path
) -> None:
    environment = installed(
        tmp_path / "service",
        f"optserve[server] @ {client_wheel.path.as_uri()}",
        str(service_wheel.path),
    )
    job, home = tmp_path / "job.json", tmp_path / "home"
    job.write_text(json.dumps(SHORT))

    up = ("optserve", "up", "--home", str(home), "--port", "0")
    with running(environment, *up, folder=tmp_path) as stack:
        assert stack.stdout is not None
        assert "ready at http://" in stack.stdout.readline()
        done = environment.run(
            "optserve", "submit", str(job), "--follow", "--home", str(home), folder=tmp_path
        )
        port = str(listening_port("127.0.0.1", 0))
        settings = {"OPTSERVE_PORT": port, "OPTSERVE_REDIS_URL": url_of(home) or ""}
        api = ("python", "-P", "-m", "api.app")
        with running(environment, *api, folder=tmp_path, OPTSERVE_HOME=str(home), **settings):
            eventually(lambda: is_ready(f"http://127.0.0.1:{port}"), within_s=60)

    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False
