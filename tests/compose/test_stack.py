"""The stack in containers: what runs, as whom, with what; and two workers that share the jobs."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from optserve.client import Client
from optserve.contract.states import State
from tests.support.machine.processes import eventually
from tests.support.service.composed import ROOT, Composed, docker, inspected
from tests.support.service.jobs import SHORT, finished

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

LONGER = {**SHORT, "training": {"steps": 2000, "seed": 3}}


def test_every_container_is_confined(stack: Composed) -> None:
    states = inspected(*stack.containers())

    assert len(states) == 5  # credentials, redis, api, two workers
    for state in states:
        host = state["HostConfig"]
        assert host["ReadonlyRootfs"], state["Name"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert state["Config"]["User"] in ("10001:10001", "999:999")
    for service in ("api", "worker"):
        status = dict(
            line.split(":\t", 1)
            for line in stack.exec(service, "cat", "/proc/self/status").splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == ["10001"] * 4
        assert int(status["CapEff"], 16) == 0
        assert status["NoNewPrivs"] == "1"


def test_the_store_is_reached_by_the_service_alone(stack: Composed) -> None:
    (redis,) = inspected(stack.container("redis"))
    unknown = stack.exec("redis", "valkey-cli", "get", "optserve:number")
    health = ("valkey-cli", "--no-auth-warning", "--user", "health", "--pass", "any")

    assert not any(redis["NetworkSettings"]["Ports"].values())
    assert "NOAUTH" in unknown
    assert "NOPERM" in stack.exec("redis", *health, "get", "optserve:number")
    assert "PONG" in stack.exec("redis", *health, "ping")


def test_the_password_shows_nowhere(stack: Composed) -> None:
    password = stack.exec("api", "cat", "/credentials/password").strip()

    assert len(password) == 43
    assert password not in json.dumps(inspected(*stack.containers()))
    for container in stack.containers():
        assert password not in docker("logs", container)
    top = [
        docker("top", c, "-eo", "pid,args")
        for service in ("redis", "api", "worker")
        for c in stack.containers(service)
    ]
    assert not [listed for listed in top if password in listed]
    assert (
        "Permission denied"
        in subprocess.run(
            ["docker", "exec", stack.container("redis"), "cat", "/credentials/password"],
            capture_output=True,
            text=True,
            check=False,
        ).stderr
    )


def test_two_workers_train_side_by_side(service: Client) -> None:
    eventually(lambda: len([w for w in service.workers() if w.fingerprint]) == 2, within_s=60)
    jobs = [service.submit(LONGER).id for _ in range(6)]

    ended = [finished(service, job_id) for job_id in jobs]

    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert len({job.worker for job in ended}) == 2
    assert len({job.digest for job in ended}) == 1  # equal jobs, equal bits, wherever


def test_evaluations_memory_and_time_are_recorded_with_the_rights_there_are(
    service: Client,
) -> None:
    """The file system is read-only, and the store's user may do only what it needs."""
    spec = {
        **SHORT,
        "dataset": {"kind": "digits", "batch_size": 100, "validation": 300},
        "training": {"steps": 300, "seed": 3, "evaluate_every": 100, "keep_best": "val_loss"},
    }

    jobs = [finished(service, service.submit({**spec, "name": f"{i}"}).id) for i in range(3)]

    for job in jobs:
        assert job.state is State.SUCCEEDED, job.detail
        assert [each.step for each in service.evaluations(job.id)] == [100, 200, 300]
        assert service.chart(job.id).evaluations["val_loss"].steps == [100, 200, 300]
        assert job.result is not None
        assert {"val_loss", "test_loss"} < job.result.metrics.keys()
        assert job.result.memory is not None
        assert job.result.memory.measured is not None
    assert {"accuracy", "macro_f1"} < {each.name for each in service.evaluation_metrics()}
    times = service.validate(spec).expected_time
    assert times is not None
    (expected,) = times
    assert expected.jobs == 3
    assert expected.lowest_s is not None
    assert expected.highest_s is not None
    assert 0 < expected.lowest_s < expected.highest_s <= 2 * expected.lowest_s


def test_mnist_is_fetched_into_the_volume_and_trained_on(stack: Composed, service: Client) -> None:
    fetched = stack.run("run", "--rm", "fetch", check=False)
    if "MNIST is in /data/mnist" not in fetched:
        pytest.skip(f"MNIST cannot be had here: {fetched.strip().splitlines()[-1]}")
    spec = {
        **SHORT,
        "model": {"kind": "mnist_cnn"},
        "dataset": {"kind": "mnist", "batch_size": 100},
        "training": {"steps": 50, "seed": 3},
    }

    job = finished(service, service.submit(spec).id)

    assert (job.state, job.step) == (State.SUCCEEDED, 50)


def test_the_gpu_overlay_gives_the_worker_a_card_and_nothing_else(stack: Composed) -> None:
    overlay = ROOT / "docker-compose.gpu.yml"
    plain = stack.run("config")

    merged = stack.run("-f", str(overlay), "config")

    new = [line.strip() for line in merged.splitlines() if line not in plain.splitlines()]
    assert "OPTSERVE_DEVICE: cuda" in new
    assert {"driver: nvidia", "- gpu", "- compute", "- utility"} <= set(new)
    assert "read_only: true" in merged


def test_workers_for_several_cards_are_as_the_documentation_has_them(
    stack: Composed, tmp_path: Path
) -> None:
    if docker_compose_is_v1(stack):
        pytest.skip("compose v1 extends no service that depends on others")
    page = (ROOT / "docs" / "containers.md").read_text()
    file = tmp_path / "cards.yml"
    file.write_text(page.split("```yaml\n")[1].split("```")[0])

    merged = yaml.safe_load(stack.run("-f", str(file), "config"))["services"]

    cards = {
        name: merged[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name in ("worker", "worker-1")
    }
    assert cards == {"worker": ["0"], "worker-1": ["1"]}
    for name in cards:
        environment = merged[name]["environment"]
        assert environment["OPTSERVE_DEVICE"] == "cuda"
        assert environment["OPTSERVE_REDIS_URL"]
        assert {volume["source"] for volume in merged[name]["volumes"]} >= {"run", "storage"}


def docker_compose_is_v1(stack: Composed) -> bool:
    return stack.run("version", "--short").startswith("1.")
