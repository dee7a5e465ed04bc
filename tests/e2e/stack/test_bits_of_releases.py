"""A checkpoint that the release before has saved continues with the bits of that release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.spec.former.translation import former_rules, translated
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.small import NOWHERE
from tests.support.service.releases import checked_out

pytestmark = pytest.mark.long

FUSED = ("adam", "adamw", "rmsprop", "adagrad", "sgd", "momentum", "nesterov")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    **{f"{kind}, fused": {"kind": kind, "engine": "fused"} for kind in FUSED},
    **{f"{kind}, eager": {"kind": kind, "engine": "eager"} for kind in ("adam", "sgd", "rmsprop")},
    **{kind: {"kind": kind} for kind in ("lion", "nadam", "lamb", "lazy_adam")},
    "rmsprop, fused, with decay": {"kind": "rmsprop", "engine": "fused", "weight_decay": 0.05},
}
HIDDEN = ([13, 7], [331, 317])
"""Widths of a small and a large model. Two threads share the last slice of the large one's second
matrix, and neither gets a multiple of 16 elements."""
UNTRAINED = ("sgd, fused", "momentum, fused", "nesterov, fused")
"""With 16-bit parameters, 0.2.0 leaves a model as it is here."""
CASES = {
    f"{name}, {precision}, {hidden}": {
        "model": {"kind": "mlp", "hidden": hidden},
        "dataset": {"kind": "digits", "batch_size": 100},
        "optimizer": {"lr": 0.01, **optimizer},
        "schedule": {"kind": "constant"},
        "training": {"steps": 8, "seed": 3, "precision": precision},
    }
    for name, optimizer in OPTIMIZERS.items()
    for precision in ("fp32", "bf16_true")
    for hidden in HIDDEN
    if precision == "fp32" or name not in UNTRAINED
}
BEFORE = """if True:
    import json, sys
    from pathlib import Path
    import torch
    from optcore.spec.run import RunSpec
    from optcore.training import checkpoint
    from optcore.training.digest import digest
    from optcore.training.loop import train
    from optcore.training.reports import StepReport
    from optcore.training.run import Run

    folder = Path(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    found = {}
    for i, (name, spec) in enumerate(json.loads((folder / "cases.json").read_text()).items()):
        run = Run.start(RunSpec.parse(spec), data_dir=Path("/nonexistent"))
        losses = []
        for report in train(run):
            if isinstance(report, StepReport):
                losses.append(report.loss)
                if len(losses) == 4:
                    checkpoint.save(run, folder / str(i))
        found[name] = {
            "spec": run.spec.model_dump(mode="json"),
            "losses": losses,
            "digest": digest(run.tensors()),
        }
    (folder / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the checkpoints, and of what the release before made of each case."""
    old = checked_out(tmp_path_factory.mktemp("release"))
    folder = tmp_path_factory.mktemp("saved")
    (folder / "cases.json").write_text(json.dumps(CASES))
    done = subprocess.run(
        [sys.executable, "-P", "-c", BEFORE, str(folder), str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_of_0_2_0_continues_with_its_losses_and_its_digest(
    name: str, saved: Path
) -> None:
    wanted = json.loads((saved / "found.json").read_text())[name]
    (folder,) = (saved / str(list(CASES).index(name))).iterdir()
    with former_rules():
        spec = RunSpec.parse_accepted(translated(wanted["spec"]))
    run = Run.start(spec, data_dir=NOWHERE)

    checkpoint.restore(run, Files(folder.parent), folder.name)
    losses = [report.loss for report in train(run) if isinstance(report, StepReport)]

    assert losses == wanted["losses"][4:]
    assert digest(run.tensors()) == wanted["digest"]


@pytest.mark.parametrize("name", ["adam, fused, fp32, [331, 317]", "lion, bf16_true, [13, 7]"])
def test_a_new_job_that_0_2_0_may_continue_has_the_bits_of_0_2_0(name: str, saved: Path) -> None:
    wanted = json.loads((saved / "found.json").read_text())[name]
    run = Run.start(RunSpec.parse(CASES[name]), data_dir=NOWHERE)

    losses = [report.loss for report in train(run) if isinstance(report, StepReport)]

    assert losses == wanted["losses"]
    assert digest(run.tensors()) == wanted["digest"]
