"""Let a new run continue another run, in all but its schedules and its number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.datasets.trained_on import TrainedOn
from optcore.spec.limits import lifted
from optcore.spec.run import RunSpec
from optcore.spec.weights import KerasEma
from optcore.training.checkpoints.parts import parts_of, restore_gradients
from optcore.training.run import Run

OF_A_STEP = ("accumulate", "loss", "loss_scale", "precision")
"""Fields of ``training`` on which the gradient of a batch depends."""


def continue_from(run: Run, facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """
    Let *run* continue the run of a checkpoint, besides its weights and its optimizer.

    *run* takes over

    - the position in the order of the examples, and the gradients of a step that had begun, if
      *run* trains on the same examples,
    - the count of the steps made, on which random numbers of layers depend,
    - the loss scale, if both runs have the same one,
    - averaged weights and their number of updates, if both runs have an average of the same kind,
      which begins after the same update and is updated after the same updates,
    - slow weights of lookahead and their number of updates, if both runs have lookahead.

    Schedules, early stopping and the best evaluation begin anew. The intervals between evaluations
    and between checkpoints are counted from the first step of *run*.

    Args:
        run: a run at its first step, with the weights and the optimizer's state of the checkpoint.
        facts: the facts of the checkpoint, in the words of this release.
        state: the tensors of the checkpoint, without the network.
    """
    parts, before = parts_of(state), dict(facts.get("before", {}))
    counts = {"rows": before.get("rows", 0) + facts["row"]}
    ours, theirs = run.spec.model_dump(mode="json"), facts["spec"]
    if run.ema is not None and _counted(run.spec) == _counted(_spec_of(facts)):
        run.ema.load(parts["ema"])
        counts["ema"] = before.get("ema", 0) + facts["t"]
    if run.slow is not None and theirs["training"].get("lookahead") is not None:
        run.slow.load(parts["lookahead"])
        counts["lookahead"] = before.get("lookahead", 0) + facts["t"]
    set_counts_before(run, counts)
    # A loss scale is also a choice of dialect and precision.
    scaled = _are_equal(ours, theirs, ("loss_scale", "precision"))
    scaled &= ours["optimizer"]["dialect"] == theirs["optimizer"].get("dialect")
    if run.scaler is not None and scaled and "scaler" in facts:
        run.scaler.load_state_dict(facts["scaler"])
        run.optimizer.loss_scale = run.scaler.scale
    if not _trains_on_the_same(run, facts):
        return
    run.batches.go_to(facts["epoch"], facts["position"])
    batches = theirs["dataset"]["batch_size"] == run.spec.dataset.batch_size
    if facts["micro"] and scaled and batches and _are_equal(ours, theirs, OF_A_STEP):
        run.micro, run.partial_loss = facts["micro"], facts["partial_loss"]
        restore_gradients(run, parts.get("gradient", {}))


def counts_before(run: Run) -> dict[str, int]:
    """
    Return what was counted before the first step of *run*, by the runs that *run* continues.

    The keys are ``rows`` (steps), ``ema`` and ``lookahead`` (updates since the average, or the slow
    weights, began). Counts of 0 are left out.
    """
    counts = {
        "rows": run.rows_before,
        "ema": 0 if run.ema is None else run.ema.before,
        "lookahead": 0 if run.slow is None else run.slow.before,
    }
    return {name: count for name, count in counts.items() if count}


def set_counts_before(run: Run, counts: Mapping[str, int]) -> None:
    """Set what `counts_before` returns to *counts*."""
    run.rows_before = counts.get("rows", 0)
    if run.ema is not None:
        run.ema.before = counts.get("ema", 0)
    if run.slow is not None:
        run.slow.before = counts.get("lookahead", 0)


def _counted(spec: RunSpec) -> tuple[object, ...] | None:
    """
    Return the kind of average in *spec*, and all that determines when it is updated.

    If two runs have equal results, their averages are updated at the same updates. Durations are
    converted to updates, since a share of the run depends on the length of the run. The result is
    None if no average is kept, or if the optimizer keeps it.
    """
    ema, run = spec.training.ema, spec.length
    if ema is None or isinstance(ema, KerasEma):
        return None
    epoch = run.steps_per_epoch if ema.every_from == "epoch" else None
    return ema.kind, max(1, run.steps(ema.every)), ema.every_from, epoch, ema.begun(run)


def _spec_of(facts: Mapping[str, Any]) -> RunSpec:
    """Return the spec of the run of a checkpoint."""
    with lifted():
        return RunSpec.parse(facts["spec"])


def _are_equal(ours: Mapping[str, Any], theirs: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """Return whether the fields *names* of ``training`` are equal in two specs (as JSON)."""
    return all(ours["training"].get(n) == theirs["training"].get(n) for n in names)


def _trains_on_the_same(run: Run, facts: Mapping[str, Any]) -> bool:
    """Return whether *run* trains on the same examples as the run of a checkpoint."""
    theirs = facts["spec"]["dataset"]
    if theirs["kind"] != run.spec.dataset.kind:
        return False
    with lifted():
        dataset = DATASETS[theirs["kind"]].parse(theirs)
    # The spec of a text does not say what its file holds.
    same_file = facts["facts"].get("data", "") == run.dataset.digest
    return same_file and TrainedOn.of("", dataset) == TrainedOn.of("", run.spec.dataset)
