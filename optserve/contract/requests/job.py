"""A job as a client posts it: a run, with a name, labels, a priority and a time limit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from optcore.spec.former.translation import with_former_defaults
from optcore.spec.limits import at_most
from optcore.spec.run import RunSpec
from optserve.contract import canonical

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Pattern for text without C0 and C1 control characters, both of which terminals interpret."""
# Without `=`, which separates name and value in the store's keys (`keys.LABELLED`).
LABEL_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$"

MAX_LABELS = 32


class JobSpec(RunSpec):
    """A job: a run, with a name, labels, a priority and a time limit that do not affect results."""

    name: str = Field("", max_length=200, pattern=PRINTABLE)
    """Name of the job, shown to people."""
    labels: Annotated[
        dict[
            Annotated[str, StringConstraints(max_length=64, pattern=LABEL_NAME)],
            Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)],
        ],
        at_most(MAX_LABELS, "labels"),
    ] = Field(default_factory=dict, max_length=MAX_LABELS)
    """Labels of the job, by which lists can be filtered: ``?label.team=ocr``."""
    priority: int = Field(0, ge=-100, le=100)
    """Jobs with a higher priority start first; among equal priorities, jobs of the tenant with
    fewer running jobs, then older jobs."""

    time_limit_s: float | None = Field(None, gt=0, le=1e9)
    """Maximum seconds of training over all attempts; null for no limit. At the limit a checkpoint
    is saved, and the job fails with reason `timeout`."""

    def sha256(self) -> str:
        """
        Return the job's SHA-256.

        Field order, white space and defaults that are written out do not affect the SHA-256.

        Fields that this release has removed count with their former defaults, so their removal does
        not change the SHA-256.
        """
        return canonical.sha256(with_former_defaults(self.model_dump(mode="json")))

    def run_spec(self) -> RunSpec:
        """Return the spec of the run: the part of the job that affects what is computed."""
        names = RunSpec.model_fields
        # Not validated again: the parts are those of this spec.
        run = RunSpec.model_construct(
            self.model_fields_set & names.keys(), **{name: getattr(self, name) for name in names}
        )
        return run.with_groups(self.groups())
