"""A job as a client posts it: a run, and what it is called."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from optcore.spec.limits import at_most, lifted
from optcore.spec.run import RunSpec
from optserve.contract import canonical

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Without control characters: a terminal obeys those of C1 as it does those of C0."""
LABEL_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$"

MAX_LABELS = 32


class JobSpec(RunSpec):
    """A run and what its client calls it; only the run decides what is computed."""

    name: str = Field("", max_length=200, pattern=PRINTABLE)
    """For people."""
    labels: Annotated[
        dict[
            Annotated[str, StringConstraints(max_length=64, pattern=LABEL_NAME)],
            Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)],
        ],
        at_most(MAX_LABELS, "labels"),
    ] = Field(default_factory=dict, max_length=MAX_LABELS)
    """For finding it again: ``?label.team=ocr``."""
    priority: int = Field(0, ge=-100, le=100)
    """Higher goes first; among equals, the tenant with fewer running jobs, then the older job."""

    time_limit_s: float | None = Field(None, gt=0, le=1e9)
    """Seconds for which workers may have it, all attempts together; null for no limit. When they
    are over a checkpoint is saved, and the job fails with reason `timeout`."""

    def sha256(self) -> str:
        """Return one word for what is asked, however it was written: order, spaces, defaults."""
        return canonical.sha256(self.model_dump(mode="json"))

    def run_spec(self) -> RunSpec:
        """Return the part that decides what is computed."""
        names = RunSpec.model_fields
        with lifted():  # they held when this was parsed, or were not asked for
            return RunSpec.model_validate({name: getattr(self, name) for name in names})
