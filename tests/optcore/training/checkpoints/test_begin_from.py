"""A run that begins with the network of another one, at its own step 0."""

from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import torch

from optcore.files.checkpoint import CheckpointUnusable
from optcore.files.files import Files
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.begin import begin_from
from optcore.training.checkpoints.checkpoint import Checkpoint
from optcore.training.checkpoints.digest import digest
from optcore.training.loop import train
from optcore.training.run import Run
from tests.support.optcore.runs.continuing import row_of
from tests.support.optcore.runs.small import NOWHERE, spec_of, start, steps

KEEP: tuple[Literal["weights"], Literal["optimizer"]] = ("weights", "optimizer")
ADAM = {"kind": "adam", "lr": 0.01}


def trained(run: Run, count: int) -> Run:
    """Return *run* after so many of its steps, settled."""
    for _ in islice(train(run), count):
        pass
    while not run.settled:
        next(train(run))
    return run


class Kept(NamedTuple):
    """A checkpoint, and where it lies."""

    root: Path
    saved: Checkpoint

    def file(self, name: str) -> Path:
        return self.root / self.saved.path / name


def saved(folder: Path, count: int = 7, **changes: Any) -> tuple[Run, Kept]:
    run = trained(start(evaluate_every=None, **changes), count)
    return run, Kept(folder, checkpoint.save(run, Files(folder)))


def begun(kept: Kept, keep: Literal["weights", "optimizer"], **changes: Any) -> Run:
    spec = spec_of(evaluate_every=None, **changes)
    files, saved = Files(kept.root), kept.saved
    return begin_from(spec, files, saved.path, keep=keep, data_dir=NOWHERE, sha256=saved.sha256)


@pytest.mark.parametrize("keep", KEEP)
def test_it_begins_with_the_weights_and_its_own_schedule(
    tmp_path: Path, keep: Literal["weights", "optimizer"]
) -> None:
    parent, kept = saved(tmp_path, optimizer=ADAM)

    run = begun(kept, keep, optimizer=ADAM)

    for name, tensor in parent.model_tensors().items():
        assert torch.equal(run.model_tensors()[name], tensor), name
    fresh = [report.lr for report in steps(start(evaluate_every=None, optimizer=ADAM))]
    assert [report.lr for report in steps(run)] == fresh
    assert run.row == run.t == 12


def test_the_optimizers_slots_and_counts_are_kept_where_that_was_asked_for(tmp_path: Path) -> None:
    parent, kept = saved(tmp_path, optimizer=ADAM)

    warm, cold = (begun(kept, keep, optimizer=ADAM) for keep in ("optimizer", "weights"))

    for slot, by_name in parent.optimizer.named_slots().items():
        for name, tensor in by_name.items():
            assert torch.equal(warm.optimizer.named_slots()[slot][name], tensor)
            assert not cold.optimizer.named_slots()[slot][name].any()
    assert set(warm.optimizer.named_counts().values()) == {7}
    assert set(cold.optimizer.named_counts().values()) == {0}


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": {"decay": 0.9}, "lookahead": {"every": 3}},
        {"optimizer": {"kind": "schedule_free_adamw", "lr": 0.01}},
        {
            "optimizer": {"kind": "sgd", "lr": 0.1, "multi_precision": True},
            "precision": "bf16_true",
        },
    ],
    ids=["ema and lookahead", "a slot that copies", "float32 copies"],
)
def test_what_starts_as_a_copy_of_the_weights_is_one_of_the_new_ones(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    _, kept = saved(tmp_path, **changes)

    run = begun(kept, "weights", **changes)

    weights = dict(run.model.named_parameters())
    beside = [kept.tensors for kept in (run.ema, run.slow) if kept is not None]
    slots = run.optimizer.named_slots()
    beside += [slots[slot] for slot in ("z", "master_weight") if slot in slots]
    assert beside
    for tensors in beside:
        for name, param in weights.items():
            assert torch.equal(tensors[name], param.detach().to(tensors[name].dtype)), name


@pytest.mark.parametrize("keep", KEEP)
def test_a_clone_that_is_interrupted_goes_on_with_the_same_bits(
    tmp_path: Path, keep: Literal["weights", "optimizer"]
) -> None:
    """Also its schedule, which is younger than the counts of an optimizer that was kept."""
    _, kept = saved(tmp_path / "parent", optimizer=ADAM)
    undisturbed = begun(kept, keep, optimizer=ADAM)
    rows = [row_of(report) for report in steps(undisturbed)]
    half = trained(begun(kept, keep, optimizer=ADAM), 5)
    own = checkpoint.save(half, Files(tmp_path / "clone"))

    again = start(evaluate_every=None, optimizer=ADAM)
    checkpoint.restore(again, Files(tmp_path / "clone"), own.path, sha256=own.sha256)

    assert [row_of(report) for report in steps(again)] == rows[half.row :]
    assert digest(again.tensors()) == digest(undisturbed.tensors())


def test_a_file_with_a_network_is_enough_for_the_weights(tmp_path: Path) -> None:
    parent, _ = saved(tmp_path)
    content = checkpoint.model_bytes(parent)
    files = Files(tmp_path)
    file = files.put("a/model.safetensors", content)

    run = begin_from(
        spec_of(), files, file.path, keep="weights", data_dir=NOWHERE, sha256=file.sha256
    )

    for name, tensor in parent.model_tensors().items():
        assert torch.equal(run.model_tensors()[name], tensor)


def test_the_optimizers_state_may_be_missing_where_only_weights_are_taken(tmp_path: Path) -> None:
    _, kept = saved(tmp_path)
    kept.file("state.safetensors").unlink()

    begun(kept, "weights")
    with pytest.raises(FileNotFoundError, match=r"state\.safetensors"):
        begun(kept, "optimizer")


@pytest.mark.parametrize("file", ["model.safetensors", "state.json"])
def test_what_is_damaged_is_refused(tmp_path: Path, file: str) -> None:
    _, kept = saved(tmp_path)
    content = bytearray(kept.file(file).read_bytes())
    content[-1] ^= 1
    kept.file(file).write_bytes(content)

    with pytest.raises(CheckpointUnusable, match="the file is damaged"):
        begun(kept, "weights")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    _, kept = saved(tmp_path)

    with pytest.raises(CheckpointUnusable, match="does not fit"):
        begun(kept, "weights", model={"kind": "mlp", "hidden": [17]})
    with pytest.raises(CheckpointUnusable, match="does not fit the run: slots must match"):
        begun(kept, "optimizer", optimizer=ADAM)
