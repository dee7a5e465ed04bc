"""On a GPU too a run that goes on in another process is the same run."""

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.continuing import NOWHERE, finish, row_of
from tests.support.optcore.runs.resume_cases import CASES

pytestmark = pytest.mark.gpu

SEED = 20
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """For each case: the rows before and after a stop, the last ones made by another process."""
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    torch.use_deterministic_algorithms(True)
    folder = tmp_path_factory.mktemp("resume")
    before, asked = [], []
    for i, (name, spec) in enumerate(CASES.items()):
        draw, run, rows = random.Random(f"{SEED} {name}"), started(spec), list[Any]()
        for report in train(run):
            rows += [row_of(report)] if isinstance(report, StepReport) else []
            if run.settled and draw.random() < 0.1:
                break
        saved = checkpoint.save(run, Files(folder / str(i)))
        before.append(rows)
        where = {"folder": str(folder / str(i)), "checkpoint": saved.path}
        case = {"spec": spec, **where, "sha256": saved.sha256}
        asked.append({**case, "device": "cuda"})
    (folder / "cases.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "tests.support.optcore.runs.continuing"]
    subprocess.run([*command, str(folder / "cases.json"), str(folder / "results.json")], check=True)
    results = json.loads((folder / "results.json").read_text())
    return {
        name: {"rows": rows + result["rows"], "digest": result["digest"]}
        for name, rows, result in zip(CASES, before, results, strict=True)
    }


@pytest.mark.timeout(400)  # the first one waits for all that is done elsewhere
@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_in_a_new_process_with_the_same_bits(
    name: str, elsewhere: dict[str, dict[str, Any]]
) -> None:
    torch.use_deterministic_algorithms(True)

    assert elsewhere[name] == finish(started(CASES[name]))


def started(spec: dict[str, Any]) -> Run:
    return Run.start(RunSpec.parse(spec), data_dir=NOWHERE, device="cuda")
