"""
Checkpoints: the whole state of a run, saved to files and restored from them.

`optcore.files.checkpoint_files` lists the files. Nothing is pickled.

Tensors are stored contiguously. The memory format that they have in the run is one of the facts
about the run (`optcore.training.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from optcore.files import checkpoint_files as layout
from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files
from optcore.networks.build import set_tensors
from optcore.spec.former.runs import has_fractions, may_be_former
from optcore.spec.former.translation import with_former_defaults
from optcore.training.best import Best
from optcore.training.checkpoints.continued import counts_before, set_counts_before
from optcore.training.checkpoints.former import in_present_words
from optcore.training.checkpoints.parts import parts_of, restore_gradients, slots_of
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.checkpoints.tensors import read
from optcore.training.generators import (
    generator_tensors,
    generator_words,
    restore_generator_tensors,
    restore_generator_words,
)
from optcore.training.precision import Scaler
from optcore.training.run import Run

COUNTERS = (
    *("row", "t", "micro", "partial_loss", "evaluated", "stopped"),
    *("loss_sum", "loss_count"),
)
"""Names of the fields of `Run` that are saved as numbers or booleans."""
MAX_CHECKPOINTS = 3
"""Number of checkpoints that are kept for a run."""


@dataclass(frozen=True)
class Checkpoint:
    """
    A checkpoint that was written.

    Attributes:
        path: the name of the checkpoint's folder, relative to the root of the files.
        step: the number of steps that the run had made.
        sha256: the SHA-256 of ``state.json``, which contains the SHA-256 of the other files.
        digest: the digest over every tensor of the run.
    """

    path: str
    step: int
    sha256: str
    digest: str


def save(run: Run, files: Files, folder: str = "") -> Checkpoint:
    """
    Write a checkpoint of *run* to a new folder in *folder*.

    Only the last `MAX_CHECKPOINTS` checkpoints are kept there; older ones are deleted.

    Args:
        run: the run, whose attribute `settled` must be true. `train` must not be running: it waits
            after a report.
        files: the storage to write to.
        folder: the folder of all checkpoints of this run. Only one process may write there.

    Raises:
        OSError: the checkpoint could not be written. No part of it is left.
    """
    # Before writing: incomplete checkpoints left by a crash take space.
    left = layout.prune(files, folder, most=MAX_CHECKPOINTS)
    facts, tensors = _facts(run), _state_tensors(run)
    if _has_generators(run):
        facts["generators"] = generator_words()
        tensors |= {f"generator.{name}": state for name, state in generator_tensors().items()}
    path, sha256 = layout.write(
        files,
        folder,
        step=run.row,
        facts=facts,
        model=tensors_to_bytes(run.model_tensors()),
        state=tensors_to_bytes(tensors),
    )
    layout.delete(files, [*left, path][:-MAX_CHECKPOINTS])
    return Checkpoint(path, run.row, sha256, facts["digest"])


def restore(
    run: Run, files: Files, path: str, *, sha256: str | None = None, exact: bool = True
) -> dict[str, Any]:
    """
    Restore *run* from the checkpoint at *path*; return the facts of the checkpoint.

    Args:
        run: a run of the same spec, just started. All of its state is replaced.
        files: the storage that holds the checkpoint.
        path: the path that `save` returned.
        sha256: the SHA-256 that `save` returned; None if it is not known.
        exact: whether to refuse the checkpoint if the results of *run* on this machine may differ
            in the last bits from those of the saved run.

    Raises:
        CheckpointUnusable: a file is damaged, or the checkpoint does not belong to the spec of
            *run*. With *exact*, also if a fact that determines the last bits (`Run.facts`) differs.
        OSError: a file does not exist, or cannot be read now.
    """
    facts, model, state = read(files, path, sha256=sha256)
    facts = in_present_words(facts)
    run.adopt(facts["facts"])
    if facts["spec"] != run.spec.model_dump(mode="json"):
        raise CheckpointUnusable(f"{path} was saved by a run with another spec")
    if "durations" not in facts and has_fractions(run.spec):
        raise CheckpointUnusable(
            f"{path} is of a run that began under a release up to 0.2.0, whose schedules round "
            "durations to whole steps; to resume the run, parse its spec inside "
            "`with optcore.spec.former.translation.former_rules():`"
        )
    if exact:
        _check_facts(path, facts["facts"], run.facts())
    try:
        _load(run, facts, model, state)
    except KeyError as error:
        raise CheckpointUnusable(f"{path} lacks an entry that the run needs: {error}") from None
    except ValueError as error:
        raise CheckpointUnusable(f"{path} does not fit the run: {error}") from None
    return facts


def _load(
    run: Run,
    facts: Mapping[str, Any],
    model: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> None:
    """Restore *run* from the facts and tensors of a checkpoint."""
    parts = parts_of(state)
    set_tensors(run.model, model)
    # Schedules before the optimizer, which sets its numbers from them.
    for schedule, known in zip(run.optimizer.metric_driven(), facts["followed"], strict=True):
        schedule.load_state_dict(known)
    run.optimizer.load_named(slots_of(state), facts["counts"], updates=facts["updates"])
    for name in COUNTERS:
        setattr(run, name, facts[name])
    if facts.get("ended"):
        run.evaluated = run.row
    for name, part in _stateful(run).items():
        part.load_state_dict(facts[name])
    if run.scaler is not None:
        run.optimizer.loss_scale = run.scaler.scale
    if run.ema is not None:
        run.ema.load(parts["ema"])
    if run.slow is not None:
        run.slow.load(parts["lookahead"])
    set_counts_before(run, facts.get("before", {}))
    restore_gradients(run, parts.get("gradient", {}))
    run.batches.epoch, run.batches.position = facts["epoch"], facts["position"]
    if "order" in parts:
        run.batches.order = parts["order"][""].to(run.device)
    if not run.draws.keyed and run.spec.draws:
        # Last, so that nothing above draws from the restored generators.
        restore_generator_tensors(parts["generator"])
        restore_generator_words(facts["generators"])


def _stateful(run: Run) -> dict[str, Scaler | Best]:
    """Return name in a checkpoint -> part, for the parts of *run* that have a ``state_dict``."""
    found = {"scaler": run.scaler, "kept": run.best, "stopping": run.stopping}
    return {name: part for name, part in found.items() if part is not None}


def _check_facts(path: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raise CheckpointUnusable if the checkpoint's facts, *theirs*, differ from *ours*."""
    differing = [
        f"{name} was {theirs.get(name)}, is {ours.get(name)}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    if differing:
        raise CheckpointUnusable(f"{path} cannot be resumed bit for bit: {differing[0]}")


def model_bytes(run: Run) -> bytes:
    """Return the network as a safetensors file, with the weights that evaluations use."""
    with run.optimizer.averaged():
        return tensors_to_bytes(run.model_tensors())


def ema_bytes(run: Run) -> bytes:
    """Return the network as a safetensors file, with the averaged weights (``training.ema``)."""
    assert run.ema is not None
    with run.ema.in_place():
        return tensors_to_bytes(run.model_tensors())


def _state_tensors(run: Run) -> dict[str, Tensor]:
    tensors = {
        name: tensor for name, tensor in run.tensors().items() if not name.startswith("model.")
    }
    tensors |= {f"gradient.{name}": grad for name, grad in run.gradients().items()}
    if run.batches.order is not None:
        tensors["order"] = run.batches.order
    return tensors


def _has_ended(run: Run) -> bool:
    """Return whether *run* has made all steps and has been evaluated after them."""
    return run.finished and run.evaluated == run.row


def _has_generators(run: Run) -> bool:
    """Return whether a checkpoint of *run* has the states of the global random generators."""
    # Most runs draw nothing from them, but 0.2.0, which may resume a run, requires them.
    return may_be_former(run.spec) or not run.draws.keyed


def _facts(run: Run) -> dict[str, Any]:
    return {
        "format": layout.FORMAT,
        "spec": with_former_defaults(run.spec.model_dump(mode="json")),
        # Not written by releases up to 0.2.0, which rounded durations in schedules.
        **({"durations": "exact"} if has_fractions(run.spec) else {}),
        **{name: getattr(run, name) for name in COUNTERS},
        # A worker may die before it has ended the job. The next one has no step to make, but needs
        # the last evaluation; one of 0.2.0 makes it only if it seems to be due.
        **({"evaluated": -1, "ended": True} if _has_ended(run) else {}),
        **({"before": counts_before(run)} if counts_before(run) else {}),
        **{name: part.state_dict() for name, part in _stateful(run).items()},
        "followed": [schedule.state_dict() for schedule in run.optimizer.metric_driven()],
        "epoch": run.batches.epoch,
        "position": run.batches.position,
        "counts": run.optimizer.named_counts(),
        "updates": run.optimizer.num_updates,
        "facts": run.facts(),
        "digest": digest(run.tensors()),
    }
