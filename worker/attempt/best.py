"""The best weights of a run, and their test metrics for the result of the job."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import StoredFile
from optcore.metrics.base import Value
from optcore.spec.evaluation import MetricName
from optcore.training.checkpoints.tensors import load_network
from optcore.training.evaluation import evaluate_best
from optcore.training.reports import Evaluation
from optserve.contract.history import EventKind
from store.jobs import calls
from store.jobs.pointers import BestPointer
from worker.attempt.disk import MachineFault
from worker.attempt.session import Session
from worker.reporting.evaluations import numbers_and_matrices

log = logging.getLogger(__name__)


class BestNetwork(NamedTuple):
    """
    The network at the best evaluation of a run.

    Attributes:
        pointer: the pointer to the state of the run, with the metric that chose it.
        file: the file with the weights that were evaluated.
    """

    pointer: BestPointer
    file: StoredFile


def best_result(session: Session, best: BestNetwork, last: Evaluation) -> dict[str, Any]:
    """
    Return what a job's result says of its best weights: step, metric, value and test metrics.

    The best weights replace the last weights in memory. So the run must be saved before this call.

    Args:
        session: the session, whose run has ended.
        best: the best network.
        last: the evaluation at the end of the run.
    """
    pointer = best.pointer
    return {
        "step": pointer.step,
        "metric": pointer.metric,
        "value": pointer.value,
        **numbers_and_matrices(_test_metrics(session, best, last)),
    }


def _test_metrics(session: Session, best: BestNetwork, last: Evaluation) -> Mapping[str, Value]:
    """Return the test metrics of the best weights; none if their file is damaged or missing."""
    run = session.run
    if best.pointer.step == run.row:  # these are the last weights
        test = f"{'ema_' * MetricName.of(best.pointer.metric).ema}test_"
        return {name: value for name, value in last.metrics.items() if name.startswith(test)}
    file, storage = best.file, session.tools.storage
    try:
        session.disk.read(
            lambda: load_network(run.model, storage, file.path, sha256=file.sha256),
            phase="checkpoint",
        )
    except (CheckpointUnusable, MachineFault) as error:
        # Another machine would not find a file that is missing from a storage that works.
        missing = isinstance(error.__cause__, FileNotFoundError) and storage.named
        if isinstance(error, MachineFault) and not missing:
            raise
        log.warning("%s: the best weights are not evaluated: %s", session.claim.job_id, error)
        data = {"why": str(error)}
        call = calls.noted(session.claim, kind=EventKind.BEST_NOT_EVALUATED, data=data)
        with session.lease.phase("store"):
            session.sender.send(call)
        return {}
    with session.lease.phase("step"):
        for report in evaluate_best(run):
            if isinstance(report, Evaluation):
                return report.metrics
            session.lease.beat(steps=0, renewed_at=session.reporter.renewed_at)
            session.check_killed()
    raise AssertionError("evaluate_best must yield the metrics, got none")
