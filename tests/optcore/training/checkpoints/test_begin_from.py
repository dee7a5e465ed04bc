"""A run that begins with the network of another one, at its own step 0."""

from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import torch

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files
from optcore.spec.networks.weight_map import WeightMap
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.begin import begin_from
from optcore.training.checkpoints.checkpoint import Checkpoint
from optcore.training.checkpoints.tensor_digest import digest
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


LAYERS: list[dict[str, Any]] = [
    {"kind": "flatten"},
    {"kind": "linear", "name": "a", "out_features": 8},
    {"kind": "batch_norm", "name": "norm"},
]
HEAD: dict[str, Any] = {"kind": "linear", "name": "fc", "out_features": 10}
INSIDE = {
    "kind": "sequential",
    "layers": [{"kind": "sequential", "name": "backbone", "layers": LAYERS}, HEAD],
}


def test_a_block_takes_the_weights_of_another_network_and_the_rest_is_drawn(tmp_path: Path) -> None:
    """With the running statistics; the drawn ones are those of a run without starting weights."""
    model = {"kind": "sequential", "layers": [*LAYERS, HEAD]}
    parent, kept = saved(tmp_path, model=model)
    data = {"prefixes": [{"from": "", "to": "backbone"}], "fresh": ["fc.*"], "omit": ["fc.*"]}
    spec = spec_of(evaluate_every=None, model=INSIDE, frozen=["backbone.*"], ema={"decay": 0.9})

    run = begin_from(
        spec,
        Files(kept.root),
        kept.saved.path,
        keep="weights",
        taken=WeightMap.read(data),
        data_dir=NOWHERE,
    )

    theirs, found = parent.model_tensors(), run.model_tensors()
    drawn = start(evaluate_every=None, model=INSIDE).model_tensors()
    assert found.keys() == {*(f"backbone.{n}" for n in theirs if n[:2] != "fc"), *fc_of(theirs)}
    for name, tensor in found.items():
        own = name.removeprefix("backbone.")
        assert torch.equal(tensor, drawn[name] if own == name else theirs[own]), name
    assert found["backbone.norm.running_mean"].any()
    # What begins with the weights begins with these.
    assert run.ema is not None
    assert torch.equal(run.ema.tensors["fc.weight"], drawn["fc.weight"])
    assert torch.equal(run.ema.tensors["backbone.norm.running_mean"], theirs["norm.running_mean"])
    assert len(steps(run)) == 12
    assert torch.equal(run.model_tensors()["backbone.a.weight"], theirs["a.weight"])


def fc_of(tensors: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in tensors if name.startswith("fc.")}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"fresh": ["fc.*"]}, "weights must be those of the network, got none for backbone.a.bias"),
        (
            {"prefixes": [{"from": "", "to": "backbone"}, {"from": "a", "to": "fc"}]},
            r"fc.bias must have shape \(10,\), got \(8,\)",
        ),
    ],
)
def test_a_map_that_does_not_fit_the_file_is_refused(
    tmp_path: Path, data: dict[str, Any], message: str
) -> None:
    _, kept = saved(tmp_path, model={"kind": "sequential", "layers": [*LAYERS, HEAD]})

    with pytest.raises(CheckpointUnusable, match=f"does not fit the run: {message}"):
        begin_from(
            spec_of(model=INSIDE),
            Files(kept.root),
            kept.saved.path,
            keep="weights",
            taken=WeightMap.read(data),
            data_dir=NOWHERE,
        )


def test_the_optimizers_slots_and_counts_are_kept_where_that_was_asked_for(tmp_path: Path) -> None:
    parent, kept = saved(tmp_path, optimizer=ADAM)

    warm, cold = (begun(kept, keep, optimizer=ADAM) for keep in ("optimizer", "weights"))

    for slot, by_name in parent.optimizer.named_slots().items():
        for name, tensor in by_name.items():
            assert torch.equal(warm.optimizer.named_slots()[slot][name], tensor)
            assert not cold.optimizer.named_slots()[slot][name].any()
    assert set(warm.optimizer.named_counts().values()) == {7}
    assert set(cold.optimizer.named_counts().values()) == {0}


@pytest.mark.parametrize("schedule", [{"kind": "constant"}, {"kind": "linear", "end": 0.02}])
def test_the_weights_of_an_average_are_those_of_the_lr_of_each_update(
    tmp_path: Path, schedule: dict[str, Any]
) -> None:
    """As in schedulefree, whose state keeps the sum of the weights and the highest lr."""
    kind = {"kind": "schedule_free_sgd"}
    before: dict[str, Any] = {"optimizer": {**kind, "lr": 0.01}, "schedule": schedule}
    _, kept = saved(tmp_path, **before)
    lrs = [report.lr for report in steps(start(evaluate_every=None, **before))][:7]

    after = {"optimizer": {**kind, "lr": 0.1}, "schedule": {"kind": "constant"}}
    run = trained(begun(kept, "optimizer", **after), 2)

    unit, highest, total = lrs[0], 0.0, 0.0
    for lr in [*lrs, 0.1, 0.1]:
        highest = max(highest, lr / unit)
        total += highest**2
    sums = run.optimizer.named_slots()["weight_sum"].values()
    assert [float(value) for value in sums] == pytest.approx([total] * len(sums), rel=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "name", "factor"),
    [
        ({"kind": "adam", "dialect": "paddle", "lr": 0.01}, "beta1_power", 0.9**8 * 0.5),
        ({"kind": "nadam", "dialect": "paddle", "lr": 0.01}, "beta2_power", 0.999**7 * 0.999),
    ],
)
def test_a_power_continues_with_the_beta_of_the_new_run(
    tmp_path: Path, optimizer: dict[str, Any], name: str, factor: float
) -> None:
    _, kept = saved(tmp_path, optimizer=optimizer)

    run = trained(begun(kept, "optimizer", optimizer={**optimizer, "beta1": 0.5}), 1)

    powers = run.optimizer.named_slots()[name].values()
    assert [float(power) for power in powers] == pytest.approx([factor] * len(powers), rel=1e-6)


def test_numbers_of_a_group_alone_continue_with_those_of_the_others(tmp_path: Path) -> None:
    kind = {"kind": "schedule_free_sgd", "lr": 0.01}
    moved = [{"match": "*.bias", "schedule": {"kind": "linear", "end": 0.02}}]
    parts: dict[str, Any] = {
        "optimizer": {**kind, "groups": moved},
        "schedule": {"kind": "constant"},
    }
    parent, kept = saved(tmp_path, **parts)
    assert len(parent.optimizer.named_slots()["weight_sum"]) < len(parent.optimizer.named_counts())

    run = begun(kept, "optimizer", **{**parts, "optimizer": {**kind, "lr": 0.1, "groups": moved}})

    sums = run.optimizer.named_slots()["weight_sum"]
    assert sums.keys() == run.optimizer.named_counts().keys()
    for name, total in parent.optimizer.named_slots()["weight_sum"].items():
        assert sums[name] == total
    assert {float(total) for name, total in sums.items() if not name.endswith("bias")} == {7.0}


@pytest.mark.parametrize("kind", ["lbfgs", "muon", "adafactor", "lamb"])
def test_other_optimizers_begin_with_their_state(tmp_path: Path, kind: str) -> None:
    optimizer: dict[str, Any] = {"kind": kind, "lr": 0.01}
    if kind == "lamb":
        optimizer |= {"dialect": "paddle", "schedules": {"beta1": {"kind": "linear"}}}
    parts: dict[str, Any] = {"optimizer": optimizer, "schedule": {"kind": "constant"}}
    _, kept = saved(tmp_path, **parts)

    run = begun(kept, "optimizer", **parts)

    assert len(steps(run)) == 12


def test_numbers_that_follow_from_the_counts_are_not_saved_by_a_clone(tmp_path: Path) -> None:
    parts: dict[str, Any] = {
        "optimizer": {"kind": "schedule_free_sgd", "lr": 0.01},
        "schedule": {"kind": "constant"},
    }
    _, kept = saved(tmp_path, **parts)

    run = trained(begun(kept, "optimizer", **parts), 1)

    assert run.optimizer.named_slots().keys() == {"z"}


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
