"""The record of a job: what Redis holds of it, and what its client sees."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from optcore.files.files import StoredFile
from optcore.spec.former import translated
from optserve.contract.answers.jobs import Job, ListedJob
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import Outcome, State
from store.errors import RecordUnreadable
from store.jobs.pointers import BestPointer, Pointer, StartingState, stored_files
from store.jobs.series import PLAIN, Series

COLUMNS = PLAIN.columns
"""What every series begins with."""
CALLED = ("name", "labels", "priority", "time_limit_s")
"""Fields of a job's spec that a client sees beside it."""
# `derived_fields` in views.lua computes from these alone, and takes one that is not listed for one
# that the record lacks: it needs id, state, trained, claimed, device, fingerprint, exact, queued,
# not_before, fault_since and format.
SUMMARY = (
    *("id", "tenant", "created", *CALLED, "state", "reason", "detail", "ending", "request"),
    *("rows", "total", "steps_per_epoch", "columns", "computed", "attempt", "checkpoint_step"),
    *("trained", "held_up", "off_plan", "verified", "parent", "best", "bits_from", "cuts"),
    *("worker", "result", "digest", "artifacts", "started", "ended", "claimed", "format"),
    *("device", "fingerprint", "exact", "queued", "fault", "fault_since", "not_before"),
)
"""Fields of a record that its row in a list is made of: none that is as large as the spec."""


@dataclass(frozen=True)
class Record:
    """
    A job as Redis holds it.

    Attributes:
        fields: the hash, decoded to text.
    """

    fields: Mapping[str, str]

    @classmethod
    def from_hash(cls, raw: Mapping[bytes, bytes]) -> Record:
        """Return the record of a hash as the client library gives it."""
        return cls({name.decode(): value.decode() for name, value in raw.items()})

    @property
    def id(self) -> str:
        """The job's id."""
        return self.fields["id"]

    @property
    def tenant(self) -> str:
        """The tenant it belongs to."""
        return self.fields["tenant"]

    @property
    def state(self) -> State:
        """Its state."""
        return State(self.fields["state"])

    @property
    def rows(self) -> int:
        """Rows of its series that are stored."""
        return int(self.fields["rows"])

    @property
    def attempt(self) -> int:
        """Number of attempts so far."""
        return int(self.fields["attempt"])

    @property
    def total_steps(self) -> int:
        """Rows of its series when it is done."""
        return int(self.fields["total"])

    @property
    def num_steps(self) -> int:
        """Rows of its series at most, as far as is known: once it has ended, those it has."""
        return self.rows if self.state.final else self.total_steps

    @property
    def outcome(self) -> Outcome | None:
        """How it succeeded, or None if it has not."""
        if self.state is not State.SUCCEEDED:
            return None
        return "early_stopped" if self.fields.get("ending") == "early_stopped" else "completed"

    @property
    def series(self) -> Series:
        """What its rows hold."""
        return Series.of(self.fields)

    @property
    def checkpoints(self) -> list[Pointer]:
        """Checkpoints it may continue from, the latest last."""
        # An entry may also hold the best state of that moment, which only the store's functions
        # need.
        known = json.loads(self.fields["checkpoints"])
        return [Pointer(each["step"], each["path"], each["sha256"]) for each in known]

    @property
    def best(self) -> BestPointer | None:
        """The best state so far, if the run keeps one."""
        return BestPointer.of(json.loads(self.fields["best"])) if "best" in self.fields else None

    def retained(self) -> list[Pointer]:
        """Return its checkpoints and its best state, by step, each step once."""
        # Of a checkpoint and a best state of one step the checkpoint is listed: both hold the same
        # state.
        found = {pointer.step: pointer for pointer in self.checkpoints}
        if self.best is not None:
            best = Pointer(self.best.step, self.best.path, self.best.sha256)
            found.setdefault(best.step, best)
        return [found[step] for step in sorted(found)]

    @property
    def fingerprint(self) -> str:
        """Of the machine and software that computed its rows; empty if there are none."""
        return self.fields.get("fingerprint", "")

    @property
    def facts(self) -> dict[str, str]:
        """What the fingerprint is made of; a later attempt sets it up to get equal bits."""
        return json.loads(self.fields.get("facts", "{}"))  # type: ignore[no-any-return]  # what we wrote

    @property
    def spec(self) -> JobSpec:
        """The spec, with every default filled in."""
        # Limits that came with a later release do not hold for a job that was accepted before.
        return JobSpec.parse_accepted(translated(from_json(self.fields["spec"])))

    @property
    def posted(self) -> dict[str, Any]:
        """The spec as it was posted, without defaults."""
        return translated(from_json(self.fields.get("posted", self.fields["spec"])))

    @property
    def starting_state(self) -> StartingState | None:
        """What it begins with, if it is a clone."""
        return (
            StartingState(**json.loads(self.fields["parent"])) if "parent" in self.fields else None
        )

    @property
    def artifacts(self) -> dict[str, dict[str, Any]]:
        """Name -> path (below the storage root), sha256 and size in bytes."""
        return json.loads(self.fields.get("artifacts", "{}"))  # type: ignore[no-any-return]  # what we wrote

    @property
    def archive(self) -> dict[str, StoredFile]:
        """Where its rows (``rows``) and its history (``events``) lie if they left the store."""
        return stored_files(self.fields.get("archive", "{}"))

    @property
    def history_moved(self) -> int:
        """How many entries of its history lie in files that were written while it ran."""
        return int(self.fields.get("history_moved", "0"))

    @property
    def fault_s(self) -> float:
        """For how many seconds machines have not been fit to train it; 0 if none was at fault."""
        return int(self.fields.get("fault_ms", "0")) / 1000

    @property
    def truncations(self) -> list[int]:
        """The first row removed, for each time that rows were truncated."""
        # Truncations are called cuts in Redis: fields keep the names that 0.1.0 gave them, since it
        # may run on the same store, and records are not rewritten.
        return json.loads(self.fields.get("cuts", "[]"))  # type: ignore[no-any-return]  # what we wrote

    def offers(self, after_s: float) -> list[str]:
        """Return what a client may request once no worker of its bits lived for *after_s*."""
        gone_ms = self.fields.get("gone_ms")
        return ["restart", "accept"] if gone_ms and int(gone_ms) >= 1000 * after_s else []

    def job(self, *, offer_after_s: float = 300.0) -> Job:
        """
        Return what its client sees.

        Args:
            offer_after_s: seconds without a worker of its fingerprint before it offers to restart.

        Raises:
            RecordUnreadable: it is not what was written.
        """
        with _damage_told():
            return self._job(offer_after_s)

    def _job(self, offer_after_s: float) -> Job:
        spec = translated(from_json(self.fields["spec"]))
        called = {name: spec.pop(name) for name in CALLED}
        return Job.model_validate({**self._progress(offer_after_s), **called, "spec": spec})

    def listed(
        self, spec: str | None = None, *, with_spec: bool = False, offer_after_s: float = 300.0
    ) -> ListedJob:
        """
        Return what its client sees in a list.

        Args:
            spec: as the store has it; needed if it is to be shown, or if the record does not say
                by itself what it is called (`is_called`).
            with_spec: whether it is to be shown.
            offer_after_s: as for `job`.

        Raises:
            RecordUnreadable: as `job` does.
        """
        with _damage_told():
            return self._listed(spec, with_spec, offer_after_s)

    def _listed(self, spec: str | None, with_spec: bool, offer_after_s: float) -> ListedJob:
        facts = self._progress(offer_after_s)
        # A square of the number of classes for each job: too large for a list.
        if facts["result"] is not None:
            facts["result"]["confusion"] = None
        read = None if spec is None else translated(from_json(spec))
        called = self._called() if read is None else {name: read.pop(name) for name in CALLED}
        return ListedJob.model_validate({**facts, **called, "spec": read if with_spec else None})

    @property
    def is_called(self) -> bool:
        """Whether it has its name and labels beside the spec, which the release before did not."""
        return "labels" in self.fields

    def _called(self) -> dict[str, Any]:
        """Return what its client calls it, where the record has that by itself."""
        limit = self.fields["time_limit_s"]
        return {
            "name": self.fields["name"],
            "labels": json.loads(self.fields["labels"]),
            "priority": int(self.fields["priority"]),
            "time_limit_s": float(limit) if limit else None,
        }

    def _progress(self, offer_after_s: float) -> dict[str, Any]:
        """Return what a client sees of how far it is."""
        fields = self.fields
        return {
            "id": self.id,
            # The store's view adds what the present attempt has taken so far; a hash that was read
            # as it is has the sum of the attempts before.
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
            "parent": self.starting_state and vars(self.starting_state),
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


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    # ValueError includes pydantic's errors, those of JSON and unknown states; TypeError a pointer
    # with fields that are not known.
    except (LookupError, TypeError, ValueError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split("\n", 1)[0]
        raise RecordUnreadable(what) from None


def new_fields(spec: JobSpec, starting_state: StartingState | None = None) -> dict[str, str]:
    """Return the fields of a new job's record that follow from its spec and its parent."""
    parent = {"parent": json.dumps(asdict(starting_state))} if starting_state else {}
    limit = spec.time_limit_s
    return {
        **parent,
        # Twice: whole milliseconds for the server's arithmetic (rounded up, so that a limit is
        # never 0), and what the client wrote, as `repr` has it, so that it reads the same float
        # again.
        **({} if limit is None else {"time_limit": str(math.ceil(1000 * limit))}),
        "name": spec.name,
        "labels": json.dumps(spec.labels),
        # Redis has no null. An empty text is none; a field that is absent says that the record was
        # written by 0.1.0, which had no such fields (`is_called`).
        "time_limit_s": "" if limit is None else repr(limit),
        # Changes of a clone are merged into this, not into the spec below: the defaults of another
        # kind or dialect would be refused, or be wrong, for the one that a clone changes to.
        "posted": spec.model_dump_json(exclude_unset=True),
        "spec": spec.model_dump_json(),
        # From here on the spec is repeated, for the store's functions and for lists: neither parses
        # it.
        "device": spec.training.device,
        "exact": str(int(spec.training.exact)),
        "priority": str(spec.priority),
        "total": str(spec.total_steps),
        "steps_per_epoch": str(spec.steps_per_epoch),
        **Series(spec.columns, spec.num_computed).fields(),
    }


def moment(ms: str | None) -> datetime | None:
    """Return the time that the server wrote as milliseconds since 1970."""
    return datetime.fromtimestamp(int(ms) / 1000, UTC) if ms else None
