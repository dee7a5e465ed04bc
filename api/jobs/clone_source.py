"""What a clone takes from its parent: the spec, the checkpoint, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable

from optcore.plan.values import check_values
from optcore.spec.errors import Problem, SpecError
from optcore.spec.groups.matching import Parameter
from optserve.contract import canonical
from optserve.contract.requests.clone import CloneSpec, Keep, merge_patch
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from store.errors import NothingToClone
from store.jobs.pointers import Pointer
from store.jobs.record import Record
from store.storage.names import MODEL

MAX_POSTED = 3 * 2**20
"""Bytes of a merged spec as JSON. Each clone may add as much as a body holds, clone after clone."""


def merged(parent: Record, clone: CloneSpec) -> JobSpec:
    """
    Return the spec of *parent* with the changes of *clone*.

    Raises:
        SpecError: it is not valid, a schedule is not finite, or it has become too large.
    """
    # Not into the full spec: with {"optimizer": {"kind": "sgd"}} merged into all defaults of adam,
    # it would be an sgd with betas, which is refused.
    data = merge_patch(parent.posted, clone.changes)
    if sum(map(len, canonical.parts(data))) > MAX_POSTED:
        text = f"changes must leave a job of at most {MAX_POSTED} bytes, got more"
        raise SpecError([Problem("changes", text)])
    spec = JobSpec.parse(data)
    check_values(spec)
    return spec


def source_of(parent: Record, clone: CloneSpec) -> Pointer:
    """
    Return the checkpoint of *parent* that *clone* names.

    Raises:
        NothingToClone: the job has no such checkpoint.
        SpecError: no checkpoint of that step is retained, or it has no optimizer state.
    """
    network = _network(parent)
    retained = parent.retained()
    if clone.source == "best":
        if parent.best is None:
            raise NothingToClone(
                f"job {parent.id} has no best checkpoint: it is saved only with training.keep_best"
            )
        return Pointer(parent.best.step, parent.best.path, parent.best.sha256)
    if not retained and network is None:
        raise NothingToClone(f"job {parent.id} has no checkpoint yet")
    # Once a job has succeeded, its network is saved alone: its last checkpoint is from before its
    # end, and only that has the optimizer's state.
    if clone.source == "last":
        last = network or parent.checkpoints[-1]
        return _with_optimizer(parent, last, retained) if clone.keep == "optimizer" else last
    for pointer in retained:
        if pointer.step == clone.source:
            return pointer
    if network is not None and network.step == clone.source:
        return _with_optimizer(parent, network, retained) if clone.keep == "optimizer" else network
    steps = [*retained, *([network] if network is not None else [])]
    raise SpecError(
        [
            Problem(
                "from",
                f"from must be last, best, or the step of a checkpoint of job {parent.id} "
                f"({_listed(steps)}), got {clone.source}",
            )
        ]
    )


def check_fits(parent: Record, spec: JobSpec, keep: Keep) -> None:
    """Raise `SpecError` unless the checkpoints of *parent* fit the network of *spec*."""
    before = parent.spec
    theirs = {parameter.name: parameter for parameter in before.parameters()}
    for parameter in spec.parameters():
        known = theirs.pop(parameter.name, None)
        if known != parameter:
            raise _mismatch(parent, parameter.name, _text(known), _text(parameter))
    for parameter in theirs.values():
        raise _mismatch(parent, parameter.name, _text(parameter), _text(None))
    kinds = before.optimizer.kind, spec.optimizer.kind
    if keep == "optimizer" and kinds[0] != kinds[1]:
        raise SpecError(
            [
                Problem(
                    "keep",
                    f"keep must be weights where optimizer.kind changes from {kinds[0]} to "
                    f"{kinds[1]}, got optimizer",
                )
            ]
        )


def _network(parent: Record) -> Pointer | None:
    """Return the final network of *parent*, if it has succeeded."""
    if parent.state is not State.SUCCEEDED or MODEL not in parent.artifacts:
        return None
    file = parent.artifacts[MODEL]
    return Pointer(parent.rows, file["path"], file["sha256"])


def _with_optimizer(parent: Record, last: Pointer, retained: list[Pointer]) -> Pointer:
    """Return *last* if it is a checkpoint: at the end of a run only the network is saved."""
    if last in retained:
        return last
    where = f"; the optimizer is saved at {_listed(retained)}" if retained else ""
    raise SpecError(
        [
            Problem(
                "keep",
                f"keep must be weights at the end of job {parent.id}, which has succeeded and "
                f"saved only its network there{where}, got optimizer",
            )
        ]
    )


def _listed(pointers: Iterable[Pointer]) -> str:
    return ", ".join(str(pointer.step) for pointer in pointers)


def _text(parameter: Parameter | None) -> str:
    if parameter is None:
        return "none"
    return f"{parameter.module} of shape {list(parameter.shape)}"


def _mismatch(parent: Record, name: str, wanted: str, got: str) -> SpecError:
    return SpecError(
        [
            Problem(
                "changes.model",
                f"model must have the parameters of job {parent.id}, whose weights it takes: "
                f"{name} must be {wanted}, got {got}",
            )
        ]
    )
