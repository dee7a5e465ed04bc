"""`make gpu-check`: a page where there is a GPU, a line where there is none."""

import subprocess
import sys
import time

import pytest
import torch

from benchmarks import gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_told_so_in_a_line() -> None:
    before = gpu.PAGE.read_text() if gpu.PAGE.exists() else None

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], capture_output=True, text=True, check=True
    )

    (line,) = done.stdout.splitlines()
    assert line.startswith("no GPU here: torch")
    assert (gpu.PAGE.read_text() if gpu.PAGE.exists() else None) == before


def test_the_page_says_what_passed_and_what_each_part_printed() -> None:
    done = {"Tests": (True, "3 passed"), "The loop": (False, "noise\n### The loop\n\n| a |")}

    page = gpu.written("a card", done)

    assert "a card\n\n| | |\n|---|---|\n| Tests | passed |\n| The loop | **failed** |" in page
    assert "## Tests\n\n```\n3 passed\n```" in page
    assert page.endswith("## The loop\n\n### The loop\n\n| a |\n")


def test_a_part_that_takes_too_long_is_ended() -> None:
    code = "import time; print('begun', flush=True); time.sleep(60)"

    passed, said = gpu.run(("-c", code), time.monotonic() + 1.5)

    assert not passed
    assert said.startswith("begun")
    assert said.endswith("It was ended: 480 s had passed.")
