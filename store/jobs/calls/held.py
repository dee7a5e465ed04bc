"""What proves that a job is held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Held:
    """
    Proof that a job is still this worker's.

    Attributes:
        tenant: the job's.
        job_id: the job's.
        token: random, known to this attempt alone.
    """

    tenant: str
    job_id: str
    token: str

    @property
    def args(self) -> tuple[str, str, str]:
        """The first arguments of every write."""
        return (self.tenant, self.job_id, self.token)
