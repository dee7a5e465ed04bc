"""
Continues runs from their checkpoints.

``python -m tests.support.optcore.runs.continuing CASES RESULTS``

CASES is a JSON list of ``{"spec": ..., "checkpoint": path, "sha256": ...}``, with a ``device``
if it is not the CPU, and a ``data_dir`` if its dataset needs one; RESULTS gets, for each, the rows
left and the digest at the end. A process of its own, so that nothing but the checkpoint can carry a
run on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from optcore.files.files import Files
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run

NOWHERE = Path("/nonexistent")  # digits need no data directory


def row_of(report: StepReport) -> list[Any]:
    """Return a row, bit for bit, as JSON can hold it."""
    values = [value.hex() for value in report.values]
    return [report.step, report.lr.hex(), report.loss.hex(), values]


def finish(run: Run) -> dict[str, Any]:
    """Train *run* to its end; return its rows, bit for bit, and its digest."""
    rows = [row_of(report) for report in train(run) if isinstance(report, StepReport)]
    return {"rows": rows, "digest": digest(run.tensors())}


def continued(case: dict[str, Any]) -> dict[str, Any]:
    """Return how the run of *case* goes on."""
    device = case.get("device", "cpu")
    data_dir = Path(case.get("data_dir", NOWHERE))
    run = Run.start(RunSpec.parse(case["spec"]), data_dir=data_dir, device=device)
    files = Files(Path(case["folder"]))
    checkpoint.restore(run, files, case["checkpoint"], sha256=case["sha256"])
    return finish(run)


def main() -> None:
    """Continue every case."""
    cases, results = Path(sys.argv[1]), Path(sys.argv[2])
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    results.write_text(json.dumps([continued(case) for case in json.loads(cases.read_text())]))


if __name__ == "__main__":
    main()
