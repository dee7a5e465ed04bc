"""Finds the spec and the checkpoint that a clone takes from its parent; they must fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.jobs.changed_kinds import without_unknown
from optcore.plan.values import check_values
from optcore.spec.datasets.trained_on import TrainedOn, joined
from optcore.spec.errors import Problem, SpecError
from optcore.spec.groups.globs import listed
from optcore.spec.groups.states import ParameterState, states_of
from optcore.spec.networks.weight_map import check_map
from optserve.contract import canonical
from optserve.contract.requests.clone import CloneSpec, merge_patch
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from store.errors import NothingToClone
from store.jobs.pointers import Pointer
from store.jobs.record import Record
from store.storage.names import BEST, MODEL

MAX_POSTED = 3 * 2**20
"""Maximum size of a merged spec as JSON, in bytes. Without it, each clone of a clone could add as
much as a request body can contain."""


def merged(parent: Record, clone: CloneSpec) -> JobSpec:
    """
    Apply the changes of *clone* to the spec that *parent* was posted with; return the result.

    Raises:
        SpecError: the merged spec is invalid or too large, or a schedule in it has a value that is
            not finite.
    """
    # Not merged into the full spec: {"optimizer": {"kind": "sgd"}} and all defaults of adam would
    # make an sgd with betas, which is refused.
    data = merge_patch(without_unknown(parent.posted, clone.changes), clone.changes)
    if sum(map(len, canonical.parts(data))) > MAX_POSTED:
        text = f"changes must result in a spec of at most {MAX_POSTED} bytes, got more"
        raise SpecError([Problem("changes", text)])
    try:
        spec = JobSpec.parse(data)
        check_values(spec)
    except SpecError as error:
        told = [_with_origin(each, parent, clone.changes) for each in error.problems]
        raise SpecError(told, error.more) from None
    return spec


def _with_origin(problem: Problem, parent: Record, changes: Mapping[str, Any]) -> Problem:
    """Return *problem*; its message says so if *parent* has the field and *changes* do not."""
    names = problem.param.partition("[")[0].split(".")
    if _has(changes, names) or not _has(parent.posted, names):
        return problem
    return Problem(problem.param, f"{problem.message}; {names[-1]} is that of job {parent.id}")


def _has(spec: object, names: Sequence[str]) -> bool:
    """Return whether *spec* has the field with the path *names*, or a value around it."""
    for name in names:
        if not isinstance(spec, Mapping):
            return True
        if name not in spec:
            return False
        spec = spec[name]
    return True


def source_of(parent: Record, clone: CloneSpec) -> Pointer:
    """
    Return the pointer to the checkpoint of *parent* from which *clone* starts.

    Raises:
        NothingToClone: *parent* has no checkpoint, or *clone* requests the best checkpoint and
            *parent* has none.
        SpecError: no checkpoint at the requested step is retained, or *clone* keeps the optimizer's
            state and the checkpoint has none.
    """
    network, retained = _network(parent, MODEL, parent.rows), parent.retained()
    if clone.source == "best":
        if parent.best is None:
            raise NothingToClone(
                f"job {parent.id} has no best checkpoint: a job saves one only if its spec sets "
                "training.keep_best, and only after an evaluation"
            )
        # As below, the weights that were evaluated may be an average of those that were trained.
        evaluated = _network(parent, BEST, parent.best.step)
        if evaluated is not None and clone.keep == "weights":
            return evaluated
        return Pointer(parent.best.step, parent.best.path, parent.best.sha256)
    if not retained and network is None:
        raise NothingToClone(f"job {parent.id} has no checkpoint yet")
    if network is not None and clone.source in ("last", network.step):
        # Not that of the last checkpoint: the job may have been evaluated with averaged weights.
        return network if clone.keep == "weights" else _final_state(parent, network.step, retained)
    if clone.source == "last":
        return (parent.checkpoints or retained)[-1]
    for pointer in retained:
        if pointer.step == clone.source:
            return pointer
    steps = {pointer.step for pointer in (*retained, *([network] if network is not None else []))}
    raise SpecError(
        [
            Problem(
                "from",
                f"from must be last, best, or the step of a checkpoint of job {parent.id} "
                f"({_listed(steps)}), got {clone.source}",
            )
        ]
    )


def check_fits(parent: Record, spec: JobSpec, clone: CloneSpec) -> None:
    """Raise `SpecError` if a clone with *spec* cannot load the state taken from *parent*."""
    before = parent.spec
    own, theirs = spec.network, before.network
    shared = own.shared, theirs.shared
    check_map(clone.weights, own.tensors, theirs.tensors, job=parent.id, shared=shared)
    if clone.keep == "optimizer":
        _check_state_fits(before, spec)
        _check_states(parent, states_of(before), states_of(spec))


def _check_state_fits(before: JobSpec, spec: JobSpec) -> None:
    # The same slot holds other values in another dialect: momentum has lr in its buffer in keras.
    for name in ("kind", "dialect"):
        theirs, ours = getattr(before.optimizer, name), getattr(spec.optimizer, name)
        if theirs != ours:
            text = f"keep must be weights if optimizer.{name} changes from {theirs} to {ours}"
            raise SpecError([Problem("keep", f"{text}, got optimizer")])
    if before.frozen != spec.frozen:
        names = listed(sorted(before.frozen ^ spec.frozen))
        raise SpecError(
            [
                Problem(
                    "keep",
                    "keep must be weights if training.frozen changes which parameters have a state "
                    f"of the optimizer, got optimizer, and a change of {names}",
                )
            ]
        )


def _check_states(
    parent: Record, theirs: Mapping[str, ParameterState], ours: Mapping[str, ParameterState]
) -> None:
    """Raise `SpecError` if the optimizer's state of a parameter differs in parent and clone."""
    for name in [*ours, *theirs]:
        before, now = theirs.get(name), ours.get(name)
        if before is None or not before.fits(now):
            text = (
                f"keep must be weights if the optimizer keeps another state for {name}: that of "
                f"job {parent.id} is {before or 'none'}, and that of the clone is {now or 'none'}; "
                "got optimizer"
            )
            raise SpecError([Problem("keep", text)])


def trained_on(parent: Record) -> list[TrainedOn]:
    """Return the datasets on which the weights of *parent* were trained, also by earlier jobs."""
    return joined(parent.trained_on, TrainedOn.of(parent.id, parent.spec.dataset))


def _network(parent: Record, name: str, step: int) -> Pointer | None:
    """
    Return the pointer to an artifact of *parent* that is a network.

    Return None if *parent* has not succeeded, or has no such artifact.

    Args:
        parent: the record of the job that is cloned.
        name: the name of the artifact.
        step: the number of steps after which the network was saved.
    """
    if parent.state is not State.SUCCEEDED or name not in parent.artifacts:
        return None
    file = parent.artifacts[name]
    return Pointer(step, file["path"], file["sha256"])


def _final_state(parent: Record, step: int, retained: list[Pointer]) -> Pointer:
    """
    Return the pointer to the checkpoint of *parent* after its last step, number *step*.

    Raises:
        SpecError: the job has no such checkpoint. Releases up to 0.2.0 kept only the network after
            the last step.
    """
    for pointer in retained:
        if pointer.step == step:
            return pointer
    steps = [pointer.step for pointer in retained]
    where = f" (the optimizer's state was saved at step {_listed(steps)})" if steps else ""
    raise SpecError(
        [
            Problem(
                "keep",
                f"keep must be weights at the last step of job {parent.id}, at which only the "
                f"network was saved{where}, got optimizer",
            )
        ]
    )


def _listed(steps: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(steps)))
