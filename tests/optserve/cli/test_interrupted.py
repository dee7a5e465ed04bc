"""Ctrl-C at any moment of a command's first second: no traceback, and exit code 130."""

import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

MARKED = """
from optserve.__main__ import main
print("here", flush=True)
main()
"""
"""Prints a mark once the interpreter itself has started, before which Ctrl-C is Python's."""
COMMAND = [sys.executable, "-P", "-c", MARKED]
LEFT = "interrupted before the service was ready; all processes were stopped\n"
SEED = 7


def interrupted(after_s: float, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command and interrupt it *after_s* seconds after the mark."""
    process = subprocess.Popen(
        [*COMMAND, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(after_s)
    process.send_signal(2)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def moments(count: int) -> list[float]:
    """Return when to interrupt, in seconds: at once, during imports, at work."""
    draw = random.Random(SEED)
    return [0.0, *(draw.uniform(0, 1.5) for _ in range(count - 1))]


@pytest.mark.parametrize("after_s", moments(8))
def test_an_interrupted_command_prints_nothing(after_s: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        done = interrupted(after_s, "jobs", "--url", url)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("after_s", moments(4))
def test_an_interrupted_stack_ends_in_order(after_s: float, tmp_path: Path) -> None:
    done = interrupted(after_s, "up", "--home", str(tmp_path), "--port", "0")

    assert (done.returncode, done.stdout, done.stderr) in [(130, "", ""), (1, "", LEFT)]


def test_a_command_in_the_background_of_a_shell_ignores_ctrl_c(tmp_path: Path) -> None:
    """A shell starts background commands with SIGINT ignored."""
    fetch = ["datasets", "fetch", "none", "--home", str(tmp_path)]
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND, *fetch],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(2)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err == "dataset must be mnist (digits needs no download), got 'none'\n"


IMPORTING = """
import os, signal
from optserve.interrupts import importing
with importing():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        print("went on")
    except BaseException as error:
        raise ValueError("not a KeyboardInterrupt any more") from error
"""


def test_ctrl_c_during_an_import_that_catches_it_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORTING], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
