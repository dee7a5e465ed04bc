"""The record of a new job: the fields that a submission writes to Redis."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from optcore.plan.run_plan import StoredPlan
from optcore.spec.datasets.trained_on import TrainedOn, warnings
from optcore.spec.former.runs import is_former
from optserve.contract.requests.job import JobSpec
from store.jobs.pointers import StartingState
from store.jobs.record import FORMER
from store.jobs.series import Series


def new_fields(
    spec: JobSpec,
    starting_state: StartingState | None = None,
    trained_on: Sequence[TrainedOn] = (),
) -> dict[str, str]:
    """
    Return those fields of a new job's record that its spec and its starting state determine.

    Args:
        spec: the spec of the job.
        starting_state: the state that the job starts from, if it is a clone.
        trained_on: what the weights in that state were trained on.
    """
    parent = {"parent": json.dumps(starting_state.stored())} if starting_state else {}
    continues = starting_state is not None and starting_state.keep == "optimizer"
    if continues:
        parent["continues"] = "1"
    # 0.2.0 takes all weights by their names, and would take a clone that continues its parent
    # through the examples from the first epoch on.
    is_mapped = starting_state is not None and bool(starting_state.weights)
    former = is_former(spec) and not continues and not is_mapped
    if trained_on:
        parent["trained_on"] = json.dumps([each.stored() for each in trained_on])
        found = warnings(spec.dataset, trained_on)
        if found:
            parent["parent_warnings"] = json.dumps(found)
    limit, packages = spec.time_limit_s, spec.packages
    return {
        **parent,
        # The limit is stored twice: in whole milliseconds for the server's arithmetic (rounded up,
        # so that a limit is never 0), and as the `repr` of what the client wrote, so that the
        # client reads the same float again.
        **({} if limit is None else {"time_limit": str(math.ceil(1000 * limit))}),
        "name": spec.name,
        "labels": json.dumps(spec.labels),
        # Redis has no null. An empty text means no limit; an absent field means that 0.1.0 wrote
        # the record, which had no such fields (`is_called`).
        "time_limit_s": "" if limit is None else repr(limit),
        # A clone's changes are merged into this, not into the spec below: defaults for the parent's
        # kind or dialect would be refused, or wrong, for the kind that a clone changes to.
        "posted": spec.model_dump_json(exclude_unset=True),
        "spec": spec.model_dump_json(),
        # Replaces the format that the Lua function writes: workers of 0.2.0 may claim the job.
        **({"format": FORMER} if former else {}),
        "plan": StoredPlan.of(spec).text(),
        **({"packages": json.dumps(packages)} if packages else {}),
        # From here on fields of the spec are repeated, for the Lua functions and for lists: neither
        # parses the spec.
        "device": spec.training.device,
        "exact": str(int(spec.training.exact)),
        "priority": str(spec.priority),
        "total": str(spec.total_steps),
        "steps_per_epoch": str(spec.steps_per_epoch),
        **Series(spec.columns, spec.num_computed).fields(),
    }
