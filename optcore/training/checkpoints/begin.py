"""Start a run with the weights of another run, or with its weights and optimizer state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files
from optcore.optimizers.engine.state import named_slots
from optcore.optimizers.make import optimizer_of
from optcore.optimizers.rules.catalogue import RULES
from optcore.plan.run_plan import StoredPlan
from optcore.spec.limits import lifted
from optcore.spec.networks.weight_map import WeightMap
from optcore.spec.run import RunSpec
from optcore.training.checkpoints.continued import continue_from
from optcore.training.checkpoints.former import in_present_words
from optcore.training.checkpoints.parts import slots_of
from optcore.training.checkpoints.tensors import network, read
from optcore.training.run import Run

Slots = Mapping[str, Mapping[str, Tensor]]
"""Slot -> name of a parameter -> tensor."""


def begin_from(
    spec: RunSpec,
    files: Files,
    path: str,
    *,
    keep: Literal["weights", "optimizer"],
    taken: WeightMap | None = None,
    data_dir: Path,
    device: str = "cpu",
    sha256: str | None = None,
    plan: StoredPlan | None = None,
    continues: bool = True,
) -> Run:
    """
    Return a new run at its first step, with the network from a checkpoint of another run.

    With a *keep* of ``weights``, all else starts afresh. With ``optimizer``, the optimizer starts
    with the slots and update counts from the checkpoint, and the run takes over what
    `continue_from` lists, such as the position in the order of the examples. Schedules start at
    step 0 in both cases.

    With ``optimizer``, the new run can be the second part of a longer run, bit for bit. For this,
    its schedules must continue those of the first part, and its other fields must be equal.

    Some optimizers carry numbers from update to update, such as the sum of weights in
    schedule_free_adamw. With ``optimizer``, the new run starts with the numbers of the old run,
    even if it has other hyperparameters.

    Args:
        spec: the description of the new run. Its network must have the same weights as the
            network in the checkpoint, unless *taken* says otherwise; all else may differ.
        files: the storage that holds the checkpoint.
        path: the path of a checkpoint, of any run, as `save` returned it. With ``weights`` it may
            also be the path of a file that holds a network.
        keep: what the new run takes from the checkpoint: ``weights`` or ``optimizer``.
        taken: which weights the new run takes, under which names; None for all, by their names.
        data_dir: the folder that holds the datasets.
        device: ``cpu`` or ``cuda``.
        sha256: the SHA-256 that `save` returned, or the SHA-256 of the file; None if unknown.
        plan: as in `Run.start`.
        continues: whether a run with ``optimizer`` takes over all that `continue_from` lists. If
            false, it takes over no more than the optimizer's state, as in releases up to 0.2.0.

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
    weights: Mapping[str, Tensor | None] = model
    try:
        if taken:
            weights = _renamed(model, spec, taken)
        run = Run.start(spec, data_dir=data_dir, device=device, weights=weights, plan=plan)
        if keep == "optimizer":
            facts = in_present_words(facts)
            run.optimizer.load_named(slots, counts, updates=0)
            continued = _with_numbers_left(facts, slots, run)
            if continued is not slots:
                run.optimizer.load_named(continued, counts, updates=0)
            if continues:
                continue_from(run, facts, state)
    except KeyError as error:
        raise CheckpointUnusable(f"{path} lacks an entry that the run needs: {error}") from None
    except ValueError as error:
        raise CheckpointUnusable(f"{path} does not fit the run: {error}") from None
    return run


def _renamed(
    model: Mapping[str, Tensor], spec: RunSpec, taken: WeightMap
) -> dict[str, Tensor | None]:
    """Return the weights for the network of *spec* by name; None for weights to initialise."""
    found: dict[str, Tensor | None] = {}
    for own in spec.network.tensors:
        source = taken.source_of(own.name)
        if taken.is_fresh(own.name):
            found[own.name] = None
        elif source is not None and source in model:
            found[own.name] = model[source]
    return found


def _with_numbers_left(facts: Mapping[str, Any], slots: Slots, run: Run) -> Slots:
    """
    Return *slots* with the carried numbers that they lack.

    A carried number is computed by each update of a parameter for the next update. A checkpoint
    lacks the numbers that follow from update counts and hyperparameters. They are computed here
    with the hyperparameters of the checkpoint's run, which *facts* contain. If the hyperparameters
    of *run* give the same numbers, *slots* is returned unchanged.
    """
    rule = RULES.get(run.spec.optimizer.kind)  # lbfgs has none
    if rule is None or all(state.carried is None for state in run.optimizer.states()):
        return slots
    with lifted():
        spec = RunSpec.parse(facts["spec"])
        optimizer = optimizer_of(
            # The numbers depend on the group of a parameter, not on its size.
            [
                (name, torch.zeros((1,) * param.dim(), dtype=param.dtype, requires_grad=True))
                for name, param in run.model.named_parameters()
                if param.requires_grad
            ],
            spec,
            loss_scale=1.0,
            checked=True,
        )
    small = {
        slot: {name: tensor for name, tensor in by.items() if name in slots.get(slot, {})}
        for slot, by in named_slots(optimizer.states(), implied=True).items()
    }
    given = {slot: by for slot, by in small.items() if by}
    optimizer.load_named(given, facts["counts"], updates=facts["updates"])
    own = named_slots(run.optimizer.states(), implied=True)
    left = {
        slot: {name: number for name, number in by.items() if name not in slots.get(slot, {})}
        for slot, by in named_slots(optimizer.states(), implied=True).items()
        if slot in own
    }
    if all(number == own[slot][name] for slot, by in left.items() for name, number in by.items()):
        return slots
    return {**slots, **{slot: {**slots.get(slot, {}), **by} for slot, by in left.items() if by}}
