"""The record of a job: the hash that Redis holds, and the representation that clients see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from optcore.files.files import StoredFile
from optcore.plan.run_plan import StoredPlan
from optcore.spec.datasets.trained_on import TrainedOn
from optcore.spec.former.translation import former_rules, translated
from optcore.spec.run import RunSpec
from optcore.spec.stored import read_stored
from optserve.contract.answers.jobs import Job, ListedJob
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import Outcome, State
from store.errors import damage_told
from store.jobs.pointers import BestPointer, Pointer, StartingState, stored_files
from store.jobs.series import PLAIN, Series

COLUMNS = PLAIN.columns
"""The columns that every series begins with."""
CALLED = ("name", "labels", "priority", "time_limit_s")
"""Fields of the spec that clients see as fields of the job, and not in the job's spec."""
# For lists, `derived_fields` in views.lua reads only these fields, and treats a field that is not
# listed here as missing from the record: it needs id, state, trained, claimed, device, fingerprint,
# exact, queued, not_before, fault_since and format.
SUMMARY = (
    *("id", "tenant", "created", *CALLED, "state", "reason", "detail", "ending", "request"),
    *("rows", "total", "steps_per_epoch", "columns", "computed", "attempt", "checkpoint_step"),
    *("trained", "held_up", "off_plan", "verified", "parent", "parent_warnings", "best"),
    *("bits_from", "cuts"),
    *("worker", "result", "digest", "artifacts", "started", "ended", "claimed", "format"),
    *("device", "fingerprint", "exact", "queued", "fault", "fault_since", "not_before"),
)
"""Fields of a record that a list of jobs needs; all of them are small, unlike the spec."""
FORMER = "2"
"""Record format of a job that release 0.2.0 can run too."""


@dataclass(frozen=True)
class Record:
    """
    The record of a job, as Redis holds it.

    Attributes:
        fields: the fields of the Redis hash, decoded to text.
    """

    fields: Mapping[str, str]

    @classmethod
    def from_hash(cls, raw: Mapping[bytes, bytes]) -> Record:
        """Return the record in *raw*, a hash as redis-py returns it."""
        return cls({name.decode(): value.decode() for name, value in raw.items()})

    @property
    def id(self) -> str:
        """The job's id."""
        return self.fields["id"]

    @property
    def tenant(self) -> str:
        """The tenant that the job belongs to."""
        return self.fields["tenant"]

    @property
    def state(self) -> State:
        """The job's state."""
        return State(self.fields["state"])

    @property
    def rows(self) -> int:
        """Number of rows (steps) of the job's series that are stored."""
        return int(self.fields["rows"])

    @property
    def attempt(self) -> int:
        """Number of times that a worker has claimed the job."""
        return int(self.fields["attempt"])

    @property
    def total_steps(self) -> int:
        """Number of rows (steps) in the job's series if it runs to its end."""
        return int(self.fields["total"])

    @property
    def num_steps(self) -> int:
        """Maximum number of rows in the series; for a job that has ended, the actual number."""
        return self.rows if self.state.final else self.total_steps

    @property
    def outcome(self) -> Outcome | None:
        """How the job succeeded (completed, early_stopped), or None if it has not succeeded."""
        if self.state is not State.SUCCEEDED:
            return None
        return "early_stopped" if self.fields.get("ending") == "early_stopped" else "completed"

    @property
    def series(self) -> Series:
        """The columns of the job's series."""
        return Series.of(self.fields)

    @property
    def checkpoints(self) -> list[Pointer]:
        """Checkpoints that the job may continue from, the latest last."""
        # An entry may also hold the best state of that moment, which only the Lua functions need.
        known = json.loads(self.fields["checkpoints"])
        return [Pointer(each["step"], each["path"], each["sha256"]) for each in known]

    @property
    def best(self) -> BestPointer | None:
        """The best state of the run so far, or None if no best state is stored."""
        return BestPointer.of(json.loads(self.fields["best"])) if "best" in self.fields else None

    def retained(self) -> list[Pointer]:
        """
        Return the job's checkpoints and best state, sorted by step.

        If a checkpoint and the best state are of the same step, only the checkpoint is returned.
        """
        # Both hold the same state.
        found = {pointer.step: pointer for pointer in self.checkpoints}
        if self.best is not None:
            best = Pointer(self.best.step, self.best.path, self.best.sha256)
            found.setdefault(best.step, best)
        return [found[step] for step in sorted(found)]

    @property
    def fingerprint(self) -> str:
        """Digest of the hardware and library versions that the job is bound to, or empty."""
        return self.fields.get("fingerprint", "")

    @property
    def facts(self) -> dict[str, str]:
        """Facts that determine results bit for bit, such as processor and number of threads."""
        return json.loads(self.fields.get("facts", "{}"))  # type: ignore[no-any-return]  # what we wrote

    @property
    def spec(self) -> JobSpec:
        """The job's spec, with every default filled in."""
        # Releases up to 0.2.0 stored no plans.
        with nullcontext() if "plan" in self.fields else former_rules():
            # Limits that a later release introduced do not apply to a job that was accepted before.
            return JobSpec.parse_accepted(translated(from_json(self.fields["spec"])))

    @property
    def plan(self) -> StoredPlan | None:
        """The plan stored with the job; None if there is none in the form of this release."""
        return StoredPlan.read(self.fields["plan"]) if "plan" in self.fields else None

    def run_spec(self) -> RunSpec:
        """
        Return the spec of the job's run.

        If the record has a plan, the spec is not validated again, and parameter groups that are
        stored in the plan are not resolved again.
        """
        plan = self.plan
        if plan is None:
            return self.spec.run_spec()
        stored = from_json(self.fields["spec"])
        names = RunSpec.model_fields.keys() & stored.keys()
        return plan.resolved(read_stored(RunSpec, {name: stored[name] for name in names}))

    @property
    def posted(self) -> dict[str, Any]:
        """The job's spec as the client posted it, without defaults."""
        return translated(from_json(self.fields.get("posted", self.fields["spec"])))

    @property
    def starting_state(self) -> StartingState | None:
        """The state that the job starts from if it is a clone, else None."""
        return StartingState.read(self.fields["parent"]) if "parent" in self.fields else None

    @property
    def trained_on(self) -> list[TrainedOn]:
        """What the weights that the job starts from were trained on; empty if it is no clone."""
        return [TrainedOn.read(each) for each in json.loads(self.fields.get("trained_on", "[]"))]

    @property
    def artifacts(self) -> dict[str, dict[str, Any]]:
        """Artifact name -> its path (below the storage root), sha256 and size in bytes."""
        return json.loads(self.fields.get("artifacts", "{}"))  # type: ignore[no-any-return]  # what we wrote

    @property
    def archive(self) -> dict[str, StoredFile]:
        """
        The files of an archived job, by name; empty if the job is not archived.

        ``rows`` is the file with the rows, and ``events`` is the file with the history.
        """
        return stored_files(self.fields.get("archive", "{}"))

    @property
    def history_moved(self) -> int:
        """Number of history entries that were moved to files while the job ran."""
        return int(self.fields.get("history_moved", "0"))

    @property
    def fault_s(self) -> float:
        """
        Seconds since a machine first failed to train the job; 0 if none has.

        Failures before the job's last new rows do not count.
        """
        return int(self.fields.get("fault_ms", "0")) / 1000

    @property
    def truncations(self) -> list[int]:
        """For each time that rows were truncated, the number of the first row removed."""
        # Truncations are called cuts in Redis: fields keep the names that 0.1.0 gave them, since
        # 0.1.0 may run on the same Redis server, and records are not rewritten.
        return json.loads(self.fields.get("cuts", "[]"))  # type: ignore[no-any-return]  # what we wrote

    def offers(self, after_s: float) -> list[str]:
        """
        Return the actions that the API offers for a job that waits for a worker.

        If no worker has had the job's fingerprint for *after_s* seconds, these are ``restart`` and
        ``accept``. Otherwise, the list is empty.
        """
        gone_ms = self.fields.get("gone_ms")
        return ["restart", "accept"] if gone_ms and int(gone_ms) >= 1000 * after_s else []

    def job(self, *, offer_after_s: float = 300.0) -> Job:
        """
        Return the job as clients see it.

        Args:
            offer_after_s: seconds without a worker that has the job's fingerprint, after which the
                job offers ``restart`` and ``accept``.

        Raises:
            RecordUnreadable: the record is damaged.
        """
        with damage_told():
            return self._job(offer_after_s)

    def _job(self, offer_after_s: float) -> Job:
        spec = translated(from_json(self.fields["spec"]))
        called = {name: spec.pop(name) for name in CALLED}
        return Job.model_validate({**self._progress(offer_after_s), **called, "spec": spec})

    def listed(
        self, spec: str | None = None, *, with_spec: bool = False, offer_after_s: float = 300.0
    ) -> ListedJob:
        """
        Return the job as clients see it in a list.

        Args:
            spec: the job's spec as JSON, from the record; required if *with_spec* is true or
                `is_called` is false.
            with_spec: whether to include the spec.
            offer_after_s: seconds without a worker that has the job's fingerprint, after which the
                job offers ``restart`` and ``accept``.

        Raises:
            RecordUnreadable: the record is damaged.
        """
        with damage_told():
            return self._listed(spec, with_spec, offer_after_s)

    def _listed(self, spec: str | None, with_spec: bool, offer_after_s: float) -> ListedJob:
        facts = self._progress(offer_after_s)
        facts["result"] = self.small_result
        read = None if spec is None else translated(from_json(spec))
        called = self._called() if read is None else {name: read.pop(name) for name in CALLED}
        return ListedJob.model_validate({**facts, **called, "spec": read if with_spec else None})

    @property
    def small_result(self) -> dict[str, Any] | None:
        """The job's result without confusion matrices; None if it has none yet."""
        # A confusion matrix has the square of the number of classes: too large for a list.
        result = json.loads(self.fields.get("result", "null"))
        if result is None:
            return None
        best = {"best": {**result["best"], "matrices": {}}} if result.get("best") else {}
        return {**result, "matrices": {}, "confusion": None, **best}

    @property
    def is_called(self) -> bool:
        """Whether the record has fields for name and labels; release 0.1.0 wrote no such fields."""
        return "labels" in self.fields

    def _called(self) -> dict[str, Any]:
        """Return the values of the fields in `CALLED`, which the record holds beside the spec."""
        limit = self.fields["time_limit_s"]
        return {
            "name": self.fields["name"],
            "labels": json.loads(self.fields["labels"]),
            "priority": int(self.fields["priority"]),
            "time_limit_s": float(limit) if limit else None,
        }

    def _parent(self) -> dict[str, Any] | None:
        start = self.starting_state
        warnings = json.loads(self.fields.get("parent_warnings", "[]"))
        return None if start is None else {**start.stored(), "warnings": warnings}

    def _progress(self, offer_after_s: float) -> dict[str, Any]:
        """Return the job's fields as clients see them, without the spec and those in `CALLED`."""
        fields = self.fields
        return {
            "id": self.id,
            # trained_ms, which views.lua adds, includes the current attempt; the field `trained` is
            # the sum over the attempts before it.
            "trained_s": int(fields.get("trained_ms", fields.get("trained", "0"))) / 1000,
            "stalled_s": int(fields.get("held_up", "0")) / 1000,
            "state": self.state,
            "reason": fields.get("reason"),
            "detail": fields.get("detail"),
            "outcome": self.outcome,
            "requested_action": fields["request"] or None,
            "lr_off_plan_at": int(fields["off_plan"]) if "off_plan" in fields else None,
            "waiting_for": fields.get("waiting_for") or None,
            "fault": fields.get("fault"),
            "queue_position": int(fields["queue_position"]) if "queue_position" in fields else None,
            "offers": self.offers(offer_after_s),
            "step": self.rows,
            "total_steps": self.total_steps,
            "steps_per_epoch": int(fields["steps_per_epoch"]),
            "columns": self.series.columns,
            "attempt": self.attempt,
            "checkpoint_step": int(fields["checkpoint_step"]),
            "verified_rows": int(fields["verified"]),
            "parent": self._parent(),
            "best": self.best and vars(self.best),
            "bitwise": int(fields.get("bits_from", "0")) == 0,
            "truncations": self.truncations,
            "worker": fields.get("worker"),
            "result": json.loads(fields.get("result", "null")),
            "digest": fields.get("digest"),
            "artifacts": list(self.artifacts),
            "created_at": moment(fields["created"]),
            "started_at": moment(fields.get("started")),
            "ended_at": moment(fields.get("ended")),
        }


def moment(ms: str | None) -> datetime | None:
    """Return *ms* (text: milliseconds since 1970) as a datetime; None if *ms* is None or empty."""
    return datetime.fromtimestamp(int(ms) / 1000, UTC) if ms else None
