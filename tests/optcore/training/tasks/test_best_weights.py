"""The best weights of a run, evaluated on the test examples once the run has ended."""

from pathlib import Path
from typing import Any

import pytest

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files, StoredFile
from optcore.training.checkpoints.checkpoint import ema_bytes, model_bytes
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.checkpoints.tensors import load_network
from optcore.training.evaluation import evaluate_best
from optcore.training.loop import train
from optcore.training.reports import Evaluation
from optcore.training.run import Run
from tests.support.optcore.runs.small import start

NORMALIZED = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 4, "kernel_size": 3},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 10},
    ],
}
CASES: dict[str, dict[str, Any]] = {
    "weights": {},
    "statistics": {"model": NORMALIZED},
    "average": {"keep_best": "ema_val_loss", "ema": {"decay": 0.5}},
    "recomputed": {
        "keep_best": "ema_val_loss",
        "model": NORMALIZED,
        "ema": {"kind": "swa", "every": 2, "statistics": "recompute"},
    },
    "weights beside an average": {"ema": {"decay": 0.5}},
    "schedule_free": {"optimizer": {"kind": "schedule_free_sgd", "lr": 1.0}},
    "keras": {"ema": {"kind": "keras", "decay": 0.5}},
    "bf16_true": {"precision": "bf16_true"},
    "mindspore_o2": {"precision": "mindspore_o2", "model": NORMALIZED},
    "confusion": {"confusion": True, "top_k": 2},
}


def run_of(case: str, **changes: Any) -> Run:
    spec: dict[str, Any] = {
        "optimizer": {"kind": "sgd", "lr": 0.3},
        "schedule": {"kind": "exponential", "rate": 1.2, "every": 1},
        "validation": 0.2,
        "evaluate_every": 1,
        "keep_best": "val_loss",
        **CASES[case],
        **changes,
    }
    return start(**spec)


def trained(run: Run, files: Files) -> tuple[StoredFile, list[Evaluation]]:
    """Train *run*; return the file of its best weights, and its evaluations."""
    assert run.best is not None
    content = ema_bytes if run.best.metric.startswith("ema_") else model_bytes
    best, found = None, []
    for report in train(run):
        if isinstance(report, Evaluation):
            found.append(report)
            if report.best:
                best = files.put(f"{report.step}.safetensors", content(run))
    assert best is not None
    return best, found


def evaluated(run: Run) -> Evaluation:
    """Return the last report of the evaluation of the best weights."""
    *progress, last = evaluate_best(run)
    assert progress
    assert isinstance(last, Evaluation)
    return last


@pytest.mark.parametrize("case", CASES)
def test_they_are_those_of_a_run_that_ends_at_the_best_step(case: str, tmp_path: Path) -> None:
    run, files = run_of(case, steps=24), Files(tmp_path)
    best, found = trained(run, files)
    assert run.best is not None
    assert 0 < run.best.step < 24
    shorter = trained(run_of(case, steps=run.best.step), Files(tmp_path / "shorter"))[1][-1]

    load_network(run.model, files, best.path, sha256=best.sha256)
    last = evaluated(run)

    prefix = "ema_" if CASES[case].get("keep_best", "").startswith("ema_") else ""
    names = {name for name in shorter.metrics if name.startswith(f"{prefix}test_")}
    assert last.step == run.best.step == shorter.step
    assert last.metrics == {name: shorter.metrics[name] for name in names}
    assert last.metrics != {name: found[-1].metrics[name] for name in names}
    assert last.examples == {"test": 297}


def test_a_network_is_loaded_in_place(tmp_path: Path) -> None:
    """The parameters are views of the optimizer's buffers."""
    run, other, files = run_of("statistics"), run_of("statistics", seed=4), Files(tmp_path)
    file = files.put("best.safetensors", model_bytes(other))
    places = [param.data_ptr() for param in run.model.parameters()]

    load_network(run.model, files, file.path, sha256=file.sha256)

    assert [param.data_ptr() for param in run.model.parameters()] == places
    assert digest(run.model_tensors()) == digest(other.model_tensors())


def test_a_damaged_file_or_that_of_another_network_is_refused(tmp_path: Path) -> None:
    run, files = run_of("weights"), Files(tmp_path)
    good = files.put("good", model_bytes(run))
    text = files.put("text", b"0" * 100)
    other = files.put("other", model_bytes(run_of("statistics")))
    wide = files.put("wide", model_bytes(run_of("weights", model={"kind": "mlp", "hidden": [8]})))
    before = digest(run.tensors())

    for file, sha256, message in (
        (good, text.sha256, f"good must have SHA-256 {text.sha256}, got {good.sha256}"),
        (text, text.sha256, "text is damaged"),
        (other, other.sha256, "other does not fit the network: it has other tensors"),
        (wide, wide.sha256, r"wide does not fit the network: .* must have shape"),
    ):
        with pytest.raises(CheckpointUnusable, match=message):
            load_network(run.model, files, file.path, sha256=sha256)
    with pytest.raises(FileNotFoundError):
        load_network(run.model, files, "gone", sha256="")
    assert digest(run.tensors()) == before
