"""
Checkpoints: a run on disk, whole or not at all.

A checkpoint is a folder ``step-00000500`` with

    model.safetensors   the network: loads with plain safetensors
    state.safetensors   the optimizer's slots, averaged and slow weights, gradients of a step that
                        was begun, the order of the examples, torch's generators
    state.json          everything else, and the SHA-256 of the other two

Tensors are contiguous, however they lay in memory; how they did is in the fingerprint.

It is written under another name, flushed to disk, and renamed. Nothing in it is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from optcore.spec.run import RunSpec
from optcore.training.best import Best
from optcore.training.digest import digest
from optcore.training.precision import Scaler
from optcore.training.run import Run
from optcore.training.seeds import (
    generator_tensors,
    generator_words,
    restore_generator_tensors,
    restore_generator_words,
)

FORMAT = 4
COUNTERS = (
    *("row", "t", "micro", "partial_loss", "evaluated", "stopped"),
    *("loss_sum", "loss_count"),
)
"""Fields of a run that are numbers."""
KEPT = 3
"""How many checkpoints of a run stay."""

DRAFT = ".draft-"
"""First characters of a folder that is being written; only one process writes to a folder."""
MODEL_FILE = "model.safetensors"
STATE_FILE = "state.safetensors"
FACTS_FILE = "state.json"


class CheckpointUnusable(Exception):
    """A checkpoint is damaged, or belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """
    A checkpoint that lies on disk.

    Attributes:
        path: its folder.
        step: steps made when it was made.
        sha256: of its ``state.json``, which holds those of the other files.
        digest: of every tensor of the run.
    """

    path: Path
    step: int
    sha256: str
    digest: str


def save(run: Run, folder: Path) -> Checkpoint:
    """
    Write *run* below *folder* and return where; older checkpoints there but the last are removed.

    Args:
        run: between two reports of `train`, and settled.
        folder: is made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{run.row:08d}"
    for left_by_a_crash in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(left_by_a_crash)
    draft = folder / f"{DRAFT}{final.name}"
    draft.mkdir()
    files = {
        MODEL_FILE: tensors_to_bytes(run.model_tensors()),
        STATE_FILE: tensors_to_bytes(_state_tensors(run)),
    }
    facts = _facts(run)
    facts["files"] = {name: _sha256(content) for name, content in files.items()}
    files[FACTS_FILE] = json.dumps(facts).encode()
    for name, content in files.items():
        write_durably(draft / name, content)
    _sync_folder(draft)
    shutil.rmtree(final, ignore_errors=True)
    draft.rename(final)
    _sync_folder(folder)
    _prune(folder)
    return Checkpoint(final, run.row, _sha256(files[FACTS_FILE]), facts["digest"])


def restore(
    run: Run, path: Path, *, sha256: str | None = None, exact: bool = True
) -> dict[str, Any]:
    """
    Put *run*, freshly started, where the checkpoint at *path* was made; return its facts.

    Args:
        run: of the same spec; everything in it that changes is replaced.
        path: a folder that `save` returned.
        sha256: what `save` returned, if it is known.
        exact: whether the run must go on with the same bits.

    Raises:
        CheckpointUnusable: a file is missing, damaged, belongs to another spec, or was made where
            bits come out differently.
    """
    facts, model, state = read(path, sha256=sha256)
    if facts["spec"] != run.spec.model_dump(mode="json"):
        raise CheckpointUnusable(f"{path} belongs to a run of another spec")
    if exact:
        _check_facts(path, facts["facts"], run.facts())
    try:
        _put(run, facts, model, _parts(state))
    except KeyError as error:
        raise CheckpointUnusable(f"{path} does not hold {error}") from None
    except ValueError as error:
        raise CheckpointUnusable(f"{path} does not fit: {error}") from None
    return facts


def _put(
    run: Run,
    facts: Mapping[str, Any],
    model: Mapping[str, Tensor],
    parts: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Put *run* where a checkpoint was made, whose facts and tensors these are."""
    run.model.load_state_dict(model)
    for schedule, known in zip(run.optimizer.followed(), facts["followed"], strict=True):
        schedule.load_state_dict(known)
    run.optimizer.load_named(_slots(parts), facts["counts"], updates=facts["updates"])
    for name in COUNTERS:
        setattr(run, name, facts[name])
    for name, follower in _followers(run).items():
        follower.load_state_dict(facts[name])
    if run.scaler is not None:
        run.optimizer.loss_scale = run.scaler.scale
    if run.ema is not None:
        run.ema.load(parts["ema"])
    if run.slow is not None:
        run.slow.load(parts["lookahead"])
    _restore_gradients(run, parts.get("gradient", {}))
    run.batches.epoch, run.batches.position = facts["epoch"], facts["position"]
    if "order" in parts:
        run.batches.order = parts["order"][""].to(run.device)
    restore_generator_tensors(parts["generator"])
    restore_generator_words(facts["generators"])


def begin_from(
    spec: RunSpec,
    path: Path,
    *,
    keep: Literal["weights", "optimizer"],
    data_dir: Path,
    device: str = "cpu",
    sha256: str | None = None,
) -> Run:
    """
    Return a run of *spec* at its own first step, with the network of the checkpoint at *path*.

    Args:
        spec: a network of the same parameters; all else may differ.
        path: a folder that `save` returned, of any run; for its weights alone, a file with a
            network will do.
        keep: whether the optimizer begins afresh, or with the slots and counts of the checkpoint;
            its schedules begin at 0 all the same.
        data_dir: where datasets lie.
        device: ``cpu`` or ``cuda``.
        sha256: what `save` returned, or of the file, if it is known.

    Raises:
        CheckpointUnusable: a file is missing or damaged, or network or optimizer do not fit.
        DatasetMissing: the data directory does not hold the dataset.
    """
    slots: dict[str, dict[str, Tensor]] = {}
    counts: dict[str, int] = {}
    if keep == "optimizer":
        facts, model, state = read(path, sha256=sha256)
        slots, counts = _slots(_parts(state)), facts["counts"]
    else:
        model = _network(path, sha256)
    try:
        run = Run.start(spec, data_dir=data_dir, device=device, weights=model)
        if keep == "optimizer":
            run.optimizer.load_named(slots, counts, updates=0)
    except ValueError as error:
        raise CheckpointUnusable(f"{path} does not fit: {error}") from None
    return run


def _network(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Return the network in a checkpoint or a file, verified."""
    file = path
    try:
        if not path.is_file():
            file = path / MODEL_FILE
            sha256 = json.loads(_file(path / FACTS_FILE, sha256))["files"][MODEL_FILE]
        return tensors_from_bytes(_file(file, sha256))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None


def _restore_gradients(run: Run, gradients: Mapping[str, Tensor]) -> None:
    """Give parameters the gradients of a step that was begun, lying as autograd lays them."""
    run.optimizer.zero_grad()
    for name, param in run.model.named_parameters():
        if name in gradients:
            param.grad = torch.empty_like(param, memory_format=torch.preserve_format)
            param.grad.copy_(gradients[name])


def _parts(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a state file by the first word of their names."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def _slots(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    slots: dict[str, dict[str, Tensor]] = {}
    for name, tensor in parts.get("optimizer", {}).items():
        slot, _, parameter = name.partition(".")
        slots.setdefault(slot, {})[parameter] = tensor
    return slots


def _followers(run: Run) -> dict[str, Scaler | Best]:
    """Return what in *run* follows it, by name, where there is such."""
    found = {"scaler": run.scaler, "kept": run.kept, "stopping": run.stopping}
    return {name: follower for name, follower in found.items() if follower is not None}


def read(
    path: Path, *, sha256: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """
    Return facts, network and other tensors of the checkpoint at *path*, all verified.

    Raises:
        CheckpointUnusable: a file is missing or damaged.
    """
    content = _file(path / FACTS_FILE, sha256)
    try:
        facts = json.loads(content)
        sums = facts["files"]
        model = tensors_from_bytes(_file(path / MODEL_FILE, sums[MODEL_FILE]))
        state = tensors_from_bytes(_file(path / STATE_FILE, sums[STATE_FILE]))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None
    if facts.get("format") != FORMAT:
        raise CheckpointUnusable(f"{path} must have format {FORMAT}, got {facts.get('format')}")
    return facts, model, state


def _check_facts(path: Path, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raise unless bits come out here as they did where the checkpoint was made."""
    differing = [
        f"{name} was {theirs.get(name)}, is {ours.get(name)}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    if differing:
        raise CheckpointUnusable(f"{path} would not go on with the same bits: {differing[0]}")


def model_bytes(run: Run) -> bytes:
    """Return the network of *run*, as it is evaluated, as a safetensors file."""
    with run.optimizer.averaged():
        return tensors_to_bytes(run.model_tensors())


def ema_bytes(run: Run) -> bytes:
    """Return the network of *run* with its averaged weights, as a safetensors file."""
    assert run.ema is not None
    with run.ema.in_place():
        return tensors_to_bytes(run.model_tensors())


def write_durably(path: Path, content: bytes) -> None:
    """Write *content* to *path* and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _state_tensors(run: Run) -> dict[str, Tensor]:
    tensors = {
        name: tensor for name, tensor in run.tensors().items() if not name.startswith("model.")
    }
    tensors |= {f"gradient.{name}": grad for name, grad in run.gradients().items()}
    tensors |= {f"generator.{name}": state for name, state in generator_tensors().items()}
    if run.batches.order is not None:
        tensors["order"] = run.batches.order
    return tensors


def _facts(run: Run) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "spec": run.spec.model_dump(mode="json"),
        **{name: getattr(run, name) for name in COUNTERS},
        **{name: follower.state_dict() for name, follower in _followers(run).items()},
        "followed": [schedule.state_dict() for schedule in run.optimizer.followed()],
        "epoch": run.batches.epoch,
        "position": run.batches.position,
        "counts": run.optimizer.named_counts(),
        "updates": run.optimizer.num_updates,
        "generators": generator_words(),
        "facts": run.facts(),
        "digest": digest(run.tensors()),
    }


def _file(path: Path, sha256: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointUnusable(f"{path} cannot be read: {error.strerror}") from None
    if sha256 is not None and _sha256(content) != sha256:
        raise CheckpointUnusable(
            f"{path} must have SHA-256 {sha256}, got {_sha256(content)}: it is damaged"
        )
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prune(folder: Path) -> None:
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
