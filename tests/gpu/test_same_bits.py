"""On a GPU too a run that goes on in another process is the same run."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.spec.run import RunSpec
from optcore.training import checkpoint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.optcore.continuing import NOWHERE, finish, row_of
from tests.optcore.test_resume import CASES

pytestmark = pytest.mark.gpu

SEED = 20
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts


@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_in_a_new_process_with_the_same_bits(name: str, tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(True)
    spec, draw = CASES[name], random.Random(f"{SEED} {name}")
    undisturbed = finish(started(spec))
    run, rows = started(spec), list[Any]()
    for report in train(run):
        rows += [row_of(report)] if isinstance(report, StepReport) else []
        if run.settled and draw.random() < 0.1:
            break
    saved = checkpoint.save(run, tmp_path)
    case = {"spec": spec, "checkpoint": str(saved.path), "sha256": saved.sha256, "device": "cuda"}
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    command = [sys.executable, "-m", "tests.optcore.continuing"]
    files = [str(tmp_path / "cases.json"), str(tmp_path / "results.json")]

    subprocess.run([*command, *files], check=True)

    (resumed,) = json.loads((tmp_path / "results.json").read_text())
    assert rows + resumed["rows"] == undisturbed["rows"]
    assert resumed["digest"] == undisturbed["digest"]


def started(spec: dict[str, Any]) -> Run:
    return Run.start(RunSpec.parse(spec), data_dir=NOWHERE, device="cuda")
