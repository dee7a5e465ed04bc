"""Writes and deletes the files of an attempt: checkpoints, the best state, artifacts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from optcore.files import checkpoint_files as layout
from optcore.files.files import StoredFile
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.checkpoint import Checkpoint
from store.jobs import calls
from store.jobs.pointers import BestPointer
from store.jobs.record import Record
from store.storage.names import BEST, EMA, MODEL
from worker.attempt.best import BestNetwork
from worker.attempt.disk import MachineFault
from worker.attempt.session import Session, Stop

log = logging.getLogger(__name__)


class Checkpointer:
    """
    Writes the files of a run, records them in Redis, and deletes files that are no longer needed.

    A crash may interrupt the work at any point. A checkpoint is saved in this order: the rows
    before the checkpoint are stored, its files are written, and the job's record gets a pointer to
    it. So every checkpoint that a record points to is complete, and all rows before it are stored.

    Args:
        session: the session with the run.
        record: the job's record, as it was when the job was claimed.

    Attributes:
        step: the step of the last checkpoint; 0 if there is none.
        best: the best network so far; None if none was saved.
    """

    def __init__(self, session: Session, record: Record) -> None:
        self.step = session.run.row
        self._session, self._storage = session, session.tools.storage
        self.best = _best_network(session, record)

    def save(self) -> Checkpoint | None:
        """
        Write a checkpoint and record it; return the checkpoint.

        If this step has a checkpoint already, or the run has NaN or infinite values, do nothing and
        return None.
        """
        session, run, reporter = self._session, self._session.run, self._session.reporter
        if run.row == self.step or not run.is_finite():  # resuming from NaN would be useless
            return None
        with session.lease.phase("store"):
            reporter.flush()
            self.delete_unneeded()  # before the write: the list does not contain the new checkpoint
            saved = self._write("checkpoints")
            needed = reporter.send(
                calls.checkpointed(
                    session.claim,
                    step=saved.step,
                    path=saved.path,
                    sha256=saved.sha256,
                    digest=saved.digest,
                )
            )
            self.step = saved.step
            self._delete_all_but(needed)
        return saved

    def save_if_possible(self) -> None:
        """Save the run before it stops; if that fails, keep the previous checkpoint."""
        with contextlib.suppress(Stop, MachineFault):
            self.save()

    def save_best(self) -> None:
        """
        Write the run's state as the best state so far, and the run's network as an artifact.

        The reporter sends the pointer to this state to Redis later (`Outbox`), so training
        continues while Redis is unavailable.
        """
        session, tracked = self._session, self._session.run.best
        assert tracked is not None
        assert tracked.value is not None
        withdrawn = session.reporter.outbox.withdraw_best()
        if withdrawn is not None:
            # Only a few best states are kept. If this one was left, best states that the record
            # never pointed to would displace the one that it does point to.
            layout.delete(self._storage, [withdrawn.path])
        saved = self._write("best")
        network = (
            checkpoint.ema_bytes if tracked.metric.startswith("ema_") else checkpoint.model_bytes
        )
        file = self._put(f"{saved.path}/{BEST}", network(session.run))
        pointer = BestPointer(saved.step, saved.path, saved.sha256, tracked.metric, tracked.value)
        self.best = BestNetwork(pointer, file)
        session.reporter.outbox.set_best(pointer)

    def write_artifacts(self) -> dict[str, dict[str, Any]]:
        """Write the trained networks; return path, sha256 and size of each artifact, by name."""
        folder, run = self._session.folder, self._session.run
        contents = {MODEL: checkpoint.model_bytes(run)}
        if run.ema is not None:
            contents[EMA] = checkpoint.ema_bytes(run)
        stored = {name: self._put(f"{folder}/{name}", each) for name, each in contents.items()}
        if self.best is not None:
            stored[BEST] = self.best.file
        return {name: asdict(file) for name, file in stored.items()}

    def delete_unneeded(self) -> None:
        """Delete unneeded files, if Redis has sent a new list of the files that are needed."""
        needed = self._session.reporter.outbox.pop_needed()
        if needed is not None:
            self._delete_all_but(needed)

    def _write(self, kind: str) -> Checkpoint:
        """Write a checkpoint of the run into the attempt's folder *kind*; return the checkpoint."""
        session = self._session
        folder = f"{session.folder}/{kind}"
        return session.disk.write_when_space(
            lambda: checkpoint.save(session.run, self._storage, folder)
        )

    def _put(self, name: str, content: bytes) -> StoredFile:
        return self._session.disk.write_when_space(lambda: self._storage.put(name, content))

    def _delete_all_but(self, needed: Sequence[str]) -> None:
        try:
            self._storage.delete_checkpoints(self._session.folder, needed)
        except OSError as error:  # the next call deletes the files, or the search for orphans does
            job_id = self._session.claim.job_id
            log.warning("%s: unneeded checkpoints could not be deleted: %s", job_id, error)


def _best_network(session: Session, record: Record) -> BestNetwork | None:
    """
    Return the network of the best state that *record* points to.

    Return None if *record* points to no best state. Also return None if the run, after loading its
    checkpoint, has its best state at another step.
    """
    best, run, storage = record.best, session.run, session.tools.storage
    if best is None or run.best is None or run.best.step != best.step:
        return None
    name = f"{best.path}/{BEST}"
    if not storage.is_file(name):  # up to 0.2.0 the file was in the folder of the attempt
        name = f"{best.path.rpartition('/')[0].rpartition('/')[0]}/{BEST}"
    return BestNetwork(best, session.disk.read(lambda: storage.describe(name)))
