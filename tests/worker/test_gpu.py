"""The lock on a GPU; none is needed for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import kill
from worker.gpu import gpu_name, lock_gpu

HOLDER = (
    "import sys, time; from pathlib import Path; from worker.gpu import lock_gpu; "
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


@pytest.mark.parametrize(
    ("shown", "name"), [("", "0"), ("3", "3"), ("2,3", "2"), ("GPU-8a/..", "GPU-8a___")]
)
def test_the_gpu_is_the_first_that_is_shown(shown: str, name: str) -> None:
    assert gpu_name({"CUDA_VISIBLE_DEVICES": shown}) == name
