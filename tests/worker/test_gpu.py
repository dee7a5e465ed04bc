"""The lock on a GPU; these tests need no GPU."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machine.processes import kill
from worker.processes.gpu import gpu_name, lock_gpu
from worker.processes.trainers import environment

HOLDER = (
    "import sys, time; from pathlib import Path; from worker.processes.gpu import lock_gpu; "
    "lock_gpu(Path(sys.argv[1]), '0'); print('held', flush=True); time.sleep(600)"
)


class Waited(Exception):
    pass


def give_up(seconds: float) -> None:
    raise Waited


def test_a_lock_is_held_until_its_process_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Waited):
            lock_gpu(tmp_path, "0", wait=give_up)

        kill(holder.pid)
        holder.wait()

    lock_gpu(tmp_path, "0", wait=give_up)


def test_another_gpu_has_another_lock(tmp_path: Path) -> None:
    lock_gpu(tmp_path, "0", wait=give_up)
    lock_gpu(tmp_path, "1", wait=give_up)


FIRST = "GPU-8a1b2c3d-0000-1111-2222-333344445555"
SECOND = "GPU-8a9f2c3d-0000-1111-2222-333344445555"
SLICE = "MIG-11112222-3333-4444-5555-666677778888"


def tool_on_path(folder: Path, script: str) -> dict[str, str]:
    """Return an environment with an nvidia-smi that does what *script* says."""
    folder.mkdir(exist_ok=True)
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def that_lists(folder: Path, *uuids: str) -> dict[str, str]:
    """Return an environment whose nvidia-smi lists the cards *uuids*."""
    rows = "\n".join(f"{index}, {uuid}" for index, uuid in enumerate(uuids))
    asked = '[ "$*" = "--query-gpu=index,uuid --format=csv,noheader" ] || exit 6'
    return tool_on_path(folder, f"{asked}\ncat <<END\n{rows}\nEND")


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (None, FIRST),
        ("", FIRST),
        ("0", FIRST),
        ("1,0", SECOND),
        ("01", SECOND),
        (FIRST, FIRST),
        ("GPU-8a9", SECOND),
        (f"{SLICE},0", SLICE),
    ],
)
def test_a_gpu_is_named_by_the_uuid_of_the_first_that_is_shown(
    tmp_path: Path, shown: str | None, name: str
) -> None:
    environment = that_lists(tmp_path, FIRST, SECOND)

    given = {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}

    assert gpu_name({**environment, **given}) == name


def test_containers_share_a_lock_if_and_only_if_they_share_a_card(tmp_path: Path) -> None:
    one = that_lists(tmp_path / "one", FIRST)
    another = that_lists(tmp_path / "another", SECOND)
    both = that_lists(tmp_path / "both", FIRST, SECOND)

    assert gpu_name(one) != gpu_name(another)
    assert gpu_name(another) == gpu_name({**both, "CUDA_VISIBLE_DEVICES": "1"})


@pytest.mark.parametrize(
    ("shown", "name"), [("", "0"), ("3", "3"), ("2,3", "2"), ("GPU-8a/..", "GPU-8a___")]
)
def test_a_gpu_without_a_uuid_is_named_by_cuda_visible_devices(
    caplog: pytest.LogCaptureFixture, shown: str, name: str
) -> None:
    assert gpu_name({"PATH": "", "CUDA_VISIBLE_DEVICES": shown}) == name

    assert "set CUDA_VISIBLE_DEVICES to the UUID (nvidia-smi -L)" in caplog.text


@pytest.mark.parametrize("shown", ["2", "GPU-8a", "GPU-7"])
def test_a_prefix_of_no_card_or_of_several_is_not_a_uuid(tmp_path: Path, shown: str) -> None:
    environment = that_lists(tmp_path, FIRST, SECOND)

    assert gpu_name({**environment, "CUDA_VISIBLE_DEVICES": shown}) == shown


def test_a_failing_nvidia_smi_gives_no_uuid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environment = tool_on_path(tmp_path, "echo 'No devices were found'; exit 9")

    assert gpu_name(environment) == "0"

    assert "does not list the GPUs" in caplog.text


def test_a_trainer_that_waits_for_a_lock_logs_its_holder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock_gpu(tmp_path, FIRST, wait=give_up)

    with pytest.raises(Waited):
        lock_gpu(tmp_path, FIRST, wait=give_up)

    holder = f"process {os.getpid()} on {socket.gethostname()}"
    assert f"waiting for GPU {FIRST}, which another trainer holds ({holder})" in caplog.text


def test_cuda_numbers_the_gpus_of_a_trainer_as_nvidia_smi_does() -> None:
    assert environment({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"})["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert environment({"OMP_WAIT_POLICY": "active"})["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
