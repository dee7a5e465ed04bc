"""
Runs the checks that need a GPU: ``make gpu-check``, in eight minutes at most.

It runs the tests marked `gpu`, then the benchmarks of a step and of the loop on CUDA. It prints a
page and writes the page to ``docs/gpu.md``; without a GPU it only prints a line that says so.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gpu.md"
LIMIT_S = 480.0
"""Maximum number of seconds for all parts together."""
TESTS = ("-m", "pytest", "tests/gpu", "-m", "gpu", "-q", "-p", "no:cacheprovider")
PARTS = {
    "Tests": TESTS,
    "One update": ("-m", "benchmarks.step"),
    "The loop": ("-m", "benchmarks.loop"),
}
"""Heading on the page -> arguments for Python, in the order in which the parts run."""
HEAD = """\
# On a GPU

Written by `make gpu-check`, which whoever has a GPU may run: the tests that need one, and the
benchmarks of a step and of the loop on it ([what the columns mean](benchmarks.md)).
"""


def main() -> None:
    """Run all parts, print and write the page; exit with 1 if a part failed or took too long."""
    if not torch.cuda.is_available():
        print(f"no GPU here: torch {torch.__version__} finds none, so nothing was checked")
        return
    deadline = time.monotonic() + LIMIT_S
    done = {name: run(part, deadline) for name, part in PARTS.items()}
    page = written(gpu(), done)
    print(page)
    PAGE.write_text(page)
    sys.exit(not all(passed for passed, _ in done.values()))


def run(arguments: tuple[str, ...], deadline: float) -> tuple[bool, str]:
    """Return whether a part succeeded before *deadline*, and the text that it printed."""
    left = max(1.0, deadline - time.monotonic())
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=left,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return False, f"{said.strip()}\n\nIt was ended: {LIMIT_S:.0f} s had passed."
    return done.returncode == 0, done.stdout.strip()


def gpu() -> str:
    """Return a description of the GPU and the versions of its libraries."""
    properties = torch.cuda.get_device_properties(0)
    memory = properties.total_memory / 2**30
    versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{properties.name}, {memory:.0f} GiB, torch {torch.__version__}, {versions}"


def written(machine: str, done: dict[str, tuple[bool, str]]) -> str:
    """Return the page: a table of the parts, then the text that each part printed."""
    rows = [
        f"| {name} | {'passed' if passed else '**failed**'} |" for name, (passed, _) in done.items()
    ]
    table = "\n".join(["| | |", "|---|---|", *rows])
    parts = [f"## {name}\n\n{shown(name, said)}" for name, (_, said) in done.items()]
    return "\n\n".join([f"{HEAD}\n{machine}", table, *parts]) + "\n"


def shown(name: str, said: str) -> str:
    """Return the text that a part printed, as Markdown, which benchmarks print already."""
    if name == "Tests":
        return f"```\n{said}\n```"
    _, heading, rest = said.partition("###")
    return heading + rest if heading else said


if __name__ == "__main__":
    main()
