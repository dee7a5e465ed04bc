"""Beginning a run with what another one has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from optcore.files.checkpoint import CheckpointUnusable
from optcore.files.files import Files
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
) -> Run:
    """
    Return a run of *spec* at its own first step, with the network of the checkpoint at *path*.

    Args:
        spec: a network of the same parameters; all else may differ.
        files: where the checkpoint was written.
        path: what `save` returned, of any run; for its weights alone, a file with a network will
            do.
        keep: whether the optimizer begins afresh, or with the slots and counts of the checkpoint;
            its schedules begin at 0 all the same.
        data_dir: where datasets lie.
        device: ``cpu`` or ``cuda``.
        sha256: what `save` returned, or of the file, if it is known.

    Raises:
        CheckpointUnusable: a file is damaged, or network or optimizer do not fit.
        OSError: a file is not there, or cannot be read now.
        DatasetMissing: the data directory does not hold the dataset.
    """
    slots: dict[str, dict[str, Tensor]] = {}
    counts: dict[str, int] = {}
    if keep == "optimizer":
        facts, model, state = read(files, path, sha256=sha256)
        slots, counts = slots_of(state), facts["counts"]
    else:
        model = network(files, path, sha256)
    try:
        run = Run.start(spec, data_dir=data_dir, device=device, weights=model)
        if keep == "optimizer":
            run.optimizer.load_named(slots, counts, updates=0)
    except ValueError as error:
        raise CheckpointUnusable(f"{path} does not fit: {error}") from None
    return run
