"""
Compares the cost of a checkpoint with torch.save of the same tensors, and with training.

Our checkpoint can be verified: it has the SHA-256 of every file and a digest of every tensor, and
everything is flushed to disk before it gets its name. The peer only writes the same state with
torch.save and flushes it.
"""

from __future__ import annotations

import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.harness import Comparison, compare, show, timed
from optcore.files.files import Files
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.loop import train
from optcore.training.run import Run

NETWORKS: dict[str, dict[str, Any]] = {
    "11k parameters": {"kind": "mlp", "hidden": [128]},
    "11M parameters": {"kind": "mlp", "hidden": [3200, 3200]},
}


def started(model: dict[str, Any]) -> Run:
    """Return a run of *model* on the digits dataset after a few steps."""
    spec = {
        "model": model,
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam"},
        "training": {"epochs": 1000, "ema": {}, "evaluate_every": None},
    }
    run = Run.start(RunSpec.parse(spec), data_dir=Path())
    for _ in islice(train(run), 3):
        pass
    return run


def seconds_per_step(run: Run, steps: int = 30) -> float:
    """Return the median duration of a step of *run*, in seconds."""
    reports, times = train(run), []
    for _ in range(steps):
        begin = time.perf_counter()
        next(reports)
        times.append(time.perf_counter() - begin)
    return median(times)


def torchs(run: Run, folder: Path) -> None:
    """Write the tensors of *run* with torch.save and flush them to disk."""
    with (folder / "state.pt").open("wb") as file:
        torch.save(run.tensors(), file)
        file.flush()
        os.fsync(file.fileno())


def saving(name: str, folder: Path) -> Comparison:
    """Compare our checkpoint of a network with torch.save; print its share of the training time."""
    run = started(NETWORKS[name])
    found = compare(
        f"checkpoint of Adam and an EMA, {name}",
        timed(lambda: checkpoint.save(run, Files(folder))),
        timed(lambda: torchs(run, folder)),
        pairs=25,
        peer_name="torch.save",
    )
    share = median(found.ours) / (500 * seconds_per_step(run))
    print(f"{name}: {share:.1%} of the time of 500 steps, the default interval")
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        show("A checkpoint", [saving(name, Path(place)) for name in NETWORKS])
