"""A claim: what proves that an attempt still has its job."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """
    A worker's claim on a job; its token guards every write of the attempt.

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
