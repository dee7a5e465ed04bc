"""Installed packages that a job needs."""

from __future__ import annotations

import json

from optcore.packages.check import missing
from store.jobs.record import Record
from worker.attempt.disk import MachineFault


def require_packages(record: Record) -> None:
    """
    Check that this process has the packages that the job was accepted with, in these versions.

    Raises:
        MachineFault: some of the packages are missing. A worker that has them may train the job.
    """
    found = missing(json.loads(record.fields.get("packages", "{}")))
    if found:
        raise MachineFault(f"the worker lacks packages that the job needs: {', '.join(found)}")
