"""Starts a run with the network of another run, or with the network and the optimizer's state."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from optcore.files.checkpoint import CheckpointUnusable
from optcore.files.files import Files
from optcore.plan.run_plan import StoredPlan
from optcore.spec.run import RunSpec
from optcore.training.checkpoints.checkpoint import slots_of
from optcore.training.checkpoints.tensors import network, read
from optcore.training.run import Run


def begin_from(
    spec: RunSpec,
    files: Files,
    path: str,
    *,
    keep: Literal["weights", "optimizer"],
    data_dir: Path,
    device: str = "cpu",
    sha256: str | None = None,
    plan: StoredPlan | None = None,
) -> Run:
    """
    Return the run that *spec* describes, at its first step, with the network from a checkpoint.

    Args:
        spec: the description of the new run. Its network must have the same parameters as the
            network in the checkpoint; all else may differ.
        files: the storage that holds the checkpoint.
        path: the path of a checkpoint, of any run, as `save` returned it. With ``weights`` it may
            also be the path of a file that holds a network.
        keep: ``weights`` to start the optimizer afresh; ``optimizer`` to start it with the slots
            and update counts from the checkpoint. Schedules start at 0 in both cases.
        data_dir: the folder that holds the datasets.
        device: ``cpu`` or ``cuda``.
        sha256: the SHA-256 that `save` returned, or the SHA-256 of the file; None if unknown.
        plan: as in `Run.start`.

    Raises:
        CheckpointUnusable: a file is damaged, or the network or the optimizer state does not fit
            *spec*.
        OSError: a file does not exist, or cannot be read now.
        DatasetMissing: *data_dir* does not hold the dataset.
    """
    slots: dict[str, dict[str, Tensor]] = {}
    counts: dict[str, int] = {}
    if keep == "optimizer":
        facts, model, state = read(files, path, sha256=sha256)
        slots, counts = slots_of(state), facts["counts"]
    else:
        model = network(files, path, sha256)
    try:
        run = Run.start(spec, data_dir=data_dir, device=device, weights=model, plan=plan)
        if keep == "optimizer":
            run.optimizer.load_named(slots, counts, updates=0)
    except ValueError as error:
        raise CheckpointUnusable(f"{path} does not fit the run: {error}") from None
    return run
